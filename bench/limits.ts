// How exact is `limits.bytes`, and what do neighbours notice of a client that is slowed down? A client sends as fast as it may for
// ten seconds, at a rate of which it would use ten times as much, while another asks for an echo 100 times a second.
//
//     npm run build && node bench/limits.ts
//
// The gate is a process of its own; client, neighbour and services are this one.

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from './free-port.ts'
import { connect } from './connect.ts'
import { runGate } from './gate.ts'

const SECONDS = 10
const RATE = 4 * 1024 * 1024
/** What the client would send if it might: ten times the rate, in pieces of 64 KiB. */
const OFFERED = 10 * RATE
const PIECE = Buffer.alloc(64 * 1024)

async function listen(serve: (socket: Socket) => void): Promise<net.Server> {
  const server = net.createServer({ noDelay: true }, serve)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const portOf = (server: net.Server): number => (server.address() as AddressInfo).port

/** Round trips of one byte, in milliseconds, until `until`. */
async function echoes(socket: Socket, until: number): Promise<number[]> {
  const times: number[] = []
  while (performance.now() < until) {
    const start = performance.now()
    socket.write('?')
    await once(socket, 'data')
    times.push(performance.now() - start)
    await delay(10)
  }
  return times.sort((one, other) => one - other)
}

/** Offers `OFFERED` bytes a second until `until`, and waits where they are not taken. */
async function flood(socket: Socket, until: number): Promise<void> {
  const start = performance.now()
  let offered = 0
  while (performance.now() < until) {
    const due = ((performance.now() - start) * OFFERED) / 1000
    if (offered >= due) {
      await delay(2)
      continue
    }
    offered += PIECE.length
    if (!socket.write(PIECE)) await Promise.race([once(socket, 'drain'), delay(until - performance.now())])
  }
}

const quantile = (sorted: number[], q: number): string =>
  `${(sorted[Math.floor(sorted.length * q)] ?? 0).toFixed(2)} ms`
const shown = (times: number[]): string => `p50 ${quantile(times, 0.5)}, p99 ${quantile(times, 0.99)}`

async function run(gate: { limited: number; neighbour: number }, received: () => number): Promise<void> {
  const neighbour = await connect(gate.neighbour)
  await echoes(neighbour, performance.now() + 500)
  console.log('alone:    ', shown(await echoes(neighbour, performance.now() + 3000)))
  const client = await connect(gate.limited)
  const start = performance.now()
  const until = start + SECONDS * 1000
  const [times] = await Promise.all([echoes(neighbour, until), flood(client, until)])
  const seconds = (performance.now() - start) / 1000
  console.log('beside it:', shown(times))
  console.log(
    `rate:      ${((received() / seconds / RATE) * 100).toFixed(1)} % of limits.bytes.rate over ${seconds.toFixed(1)} s, the burst of ${(((64 * 1024 + RATE * 0.04) / RATE / seconds) * 100).toFixed(1)} % included`,
  )
  client.destroy()
  neighbour.destroy()
}

async function main(): Promise<void> {
  let bytes = 0
  const sink = await listen(
    (socket) => void socket.on('data', (chunk: Buffer) => (bytes += chunk.length)).on('error', () => {}),
  )
  const echo = await listen((socket) => void socket.on('error', () => {}).pipe(socket))
  const [limited, neighbour] = [await freePort(), await freePort()]
  const folder = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
  const file = join(folder, 'limits.yaml')
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${await freePort()}" }
admin: { address: "127.0.0.1:${await freePort()}" }
listeners:
  - { name: limited, address: "127.0.0.1:${limited}", protocol: tcp, upstream: "127.0.0.1:${portOf(sink)}", limits: { bytes: { rate: ${RATE / 1024}KiB, burst: 64KiB } } }
  - { name: neighbour, address: "127.0.0.1:${neighbour}", protocol: tcp, upstream: "127.0.0.1:${portOf(echo)}" }
`,
  )
  const gate = runGate(file, 'ignore')
  try {
    await run({ limited, neighbour }, () => bytes)
  } finally {
    gate.kill('SIGKILL')
    sink.close()
    echo.close()
    rmSync(folder, { recursive: true })
  }
}

await main()
