// What do innocents notice of a flood? Ten clients ask for an echo 50 times a second each, and somebody asks the health server 20 times
// a second, alone and beside each flood, which goes over another listener of the same gate to a service of its own.
//
//     npm run build && node bench/fairness.ts [FLOOD..]
//
// The gate, the floods with their service, and the innocents with theirs are processes of their own. The floods yield to the others
// (nice): what is asked is how the gate divides its time, not how the kernel divides two cores.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import net, { type Socket } from 'node:net'
import { setPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { connect } from './connect.ts'
import { runGate } from './gate.ts'

const SECONDS = Number(process.env['SECONDS'] ?? 6)
const BASE = 18_600
const [HEALTH, ADMIN, ECHO, QUIET, FLOODED] = [BASE, BASE + 1, BASE + 2, BASE + 3, BASE + 4]
const INNOCENTS = 10

interface Flood {
  /** Of the flooded listener. */
  listener: string
  connections: number
  flood: (port: number) => Promise<void>
}

const MASK = Buffer.alloc(4)
const frame = (first: number, payload = ''): Buffer =>
  Buffer.concat([Buffer.from([first, 0x80 | payload.length]), MASK, Buffer.from(payload)])
const repeated = (one: Buffer): Buffer =>
  Buffer.concat(Array.from({ length: Math.floor(65_536 / one.length) }, () => one))

/** Sends `bytes` over and over, as fast as they are taken. */
function pour(socket: Socket, bytes: Buffer): void {
  const more = (): void => {
    while (socket.write(bytes));
  }
  socket
    .on('drain', more)
    .on('error', () => {})
    .resume()
  more()
}

async function upgraded(port: number): Promise<Socket> {
  const socket = await connect(port)
  socket.write(
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  await once(socket, 'data')
  return socket
}

const ofFrames = (bytes: Buffer, websocket = ''): Flood => ({
  listener: `protocol: http, ${websocket}`,
  connections: 20,
  flood: async (port) => pour(await upgraded(port), bytes),
})

const floods: Record<string, Flood> = {
  'empty pings': ofFrames(repeated(frame(0x89))),
  'empty messages': ofFrames(repeated(frame(0x82))),
  'messages of a byte, messages mode': ofFrames(repeated(frame(0x82, 'x')), 'websocket: { mode: messages }'),
  'pings behind a Close': ofFrames(Buffer.concat([frame(0x88), repeated(frame(0x89))])),
  'pings behind a bad frame': ofFrames(Buffer.concat([frame(0x83), repeated(frame(0x89))])),
  'messages over a rate that drops': ofFrames(
    repeated(frame(0x82, 'x')),
    'websocket: { mode: messages }, limits: { messages: { rate: 10, onExceed: drop } }',
  ),
  'uploads, tcp': {
    listener: 'protocol: tcp',
    connections: 20,
    flood: async (port) => pour(await connect(port), Buffer.alloc(65_536)),
  },
  'downloads, tcp': {
    listener: 'protocol: tcp',
    connections: 300,
    flood: async (port) => void (await connect(port)).resume().write('GET / HTTP/1.0\r\n\r\n'),
  },
  'downloads, http': {
    listener: 'protocol: http',
    connections: 300,
    flood: async (port) => void (await connect(port)).resume().write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
  },
}

/** Upgrades and takes whatever comes; to anything else it answers with a body without end. */
function serveFlooded(): void {
  net
    .createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', (head: Buffer) => {
        socket.resume()
        if (head.includes('Upgrade: websocket'))
          socket.write(
            'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
          )
        else if (head.includes('GET /')) {
          socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n')
          pour(socket, Buffer.alloc(65_536))
        }
      })
    })
    .listen(FLOODED, '127.0.0.1')
}

async function runFlood(name: string): Promise<void> {
  setPriority(10)
  serveFlooded()
  process.once('disconnect', () => process.exit())
  await once(process, 'message')
  const { connections, flood } = floods[name]!
  for (let i = 0; i < connections; i++) void flood(QUIET).catch(() => {})
}

interface Latencies {
  echo: number[]
  livez: number[]
}

/** Milliseconds of each echo, as many a second as were asked for, however long each takes. */
async function askEcho(until: number, times: number[]): Promise<void> {
  const client = await connect(ECHO)
  while (performance.now() < until) {
    const start = performance.now()
    client.write('?')
    await once(client, 'data')
    times.push(performance.now() - start)
    await delay(Math.max(0, 20 - (performance.now() - start)))
  }
  client.destroy()
}

async function askLivez(until: number, times: number[]): Promise<void> {
  while (performance.now() < until) {
    const start = performance.now()
    await new Promise((resolve) =>
      get({ port: HEALTH, host: '127.0.0.1', path: '/livez', agent: false }, (answer) =>
        answer.resume().once('end', resolve),
      ).once('error', resolve),
    )
    times.push(performance.now() - start)
    await delay(50)
  }
}

async function measure(): Promise<Latencies> {
  const until = performance.now() + SECONDS * 1000
  const latencies: Latencies = { echo: [], livez: [] }
  await Promise.all([
    ...Array.from({ length: INNOCENTS }, () => askEcho(until, latencies.echo)),
    askLivez(until, latencies.livez),
  ])
  return latencies
}

/** Bytes of the flood that the gate has received. */
async function relayed(): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${HEALTH}/metrics`)).text()
  const rows = metrics.matchAll(/^sidegate_receive_bytes_total\{listener="flooded".*\} (\d+)$/gm)
  return [...rows].reduce((sum, [, bytes]) => sum + Number(bytes), 0)
}

const quantile = (times: readonly number[], q: number): number =>
  times.toSorted((a, b) => a - b)[Math.floor(times.length * q)] ?? Number.NaN
const ms = (time: number): string => `${time.toFixed(1)} ms`
const shown = ({ echo, livez }: Latencies): string =>
  `echo p50 ${ms(quantile(echo, 0.5))}, p99 ${ms(quantile(echo, 0.99))}; /livez p99 ${ms(quantile(livez, 0.99))}`

async function run(name: string, folder: string): Promise<void> {
  const file = join(folder, 'sidegate.yaml')
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${HEALTH}" }\nadmin: { address: "127.0.0.1:${ADMIN}" }\nlog: { level: error }\nlisteners:
  - { name: echo, address: "127.0.0.1:${ECHO}", protocol: tcp, upstream: "127.0.0.1:${ECHO + 10}" }
  - { name: flooded, address: "127.0.0.1:${QUIET}", upstream: "127.0.0.1:${FLOODED}", ${floods[name]!.listener} }\n`,
  )
  const gate = runGate(file)
  const flood = fork(import.meta.filename, ['--flood', name])
  const first = await connect(ECHO)
  await delay(500)
  const quiet = await measure()
  flood.send('begin')
  await delay(300)
  const before = await relayed()
  const beside = await measure()
  const perSec = ((await relayed()) - before) / SECONDS / 1e6
  console.log(
    `${name}\n  alone:     ${shown(quiet)}\n  beside it: ${shown(beside)}; p99 ${(quantile(beside.echo, 0.99) / quantile(quiet.echo, 0.99)).toFixed(1)} x; flood ${perSec.toFixed(0)} MB/s`,
  )
  first.destroy()
  await Promise.all([stopped(flood), stopped(gate)])
}

async function stopped(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

async function main(names: readonly string[]): Promise<void> {
  const echo = net
    .createServer({ noDelay: true }, (socket) => void socket.on('error', () => {}).pipe(socket))
    .listen(ECHO + 10, '127.0.0.1')
  const folder = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
  for (const name of names) await run(name, folder)
  rmSync(folder, { recursive: true })
  echo.close()
}

const [, , role, ...rest] = process.argv
if (role === '--flood') await runFlood(rest[0]!)
else await main(role === undefined ? Object.keys(floods) : [role, ...rest])
