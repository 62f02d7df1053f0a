// What TLS towards clients costs: CPU of the gate for each echo and for each connection, and memory of an idle pair, beside the same in the
// clear and in one run. `npm run build && node bench/tls.ts`, with openssl on the path. Ratios count; figures are in README.md.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import tls from 'node:tls'
import { selfSigned } from './certificate.ts'
import { connect } from './connect.ts'
import { runGate } from './gate.ts'
import { compare, cpu, memory } from './measure.ts'

const IDLE_PAIRS = 1000
const ROUNDS = 5
const ROUND_MS = 1000
const CLIENTS = 16

const folder = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
const { cert, key } = selfSigned(folder)
const ca = readFileSync(cert)

interface Gate {
  name: string
  child: ChildProcess
  open(): Promise<Socket>
}

/** Each connection has a handshake of its own, unless `session` resumes one. */
async function secure(port: number, session?: Buffer): Promise<tls.TLSSocket> {
  const socket = tls.connect({
    socket: await connect(port),
    servername: 'localhost',
    ca,
    ...(session === undefined ? {} : { session }),
  })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

async function startGate(name: string, nth: number, upstream: number): Promise<Gate> {
  const port = 18_400 + nth * 10
  const file = join(folder, `${nth}.yaml`)
  const isSecure = name !== 'in the clear'
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${port + 1}" }\nadmin: { address: "127.0.0.1:${port + 2}" }\nlog: { level: error }\nlisteners:\n  - { address: "127.0.0.1:${port}", protocol: tcp, upstream: "127.0.0.1:${upstream}"${isSecure ? `, tls: { cert: ${cert}, key: ${key} }` : ''} }\n`,
  )
  const child = runGate(file)
  ;(await connect(port)).destroy()
  if (!isSecure) return { name, child, open: () => connect(port) }
  if (name === 'TLS') return { name, child, open: () => secure(port) }
  const session = await ticket(port)
  return { name, child, open: () => secure(port, session) }
}

async function ticket(port: number): Promise<Buffer> {
  const socket = await secure(port)
  socket.write('?')
  const [session] = (await once(socket, 'session')) as [Buffer]
  socket.destroy()
  return session
}

/** Reads until `bytes` have come. */
async function reply(socket: Socket, bytes: number): Promise<void> {
  for (let got = 0; got < bytes;) {
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    got += chunk.length
  }
}

/** Microseconds of the gate's CPU for each of what the clients do one after another. */
async function cost(gate: Gate, act: (nth: number) => Promise<void>): Promise<number> {
  const until = performance.now() + ROUND_MS
  const before = cpu(gate.child.pid!)
  let done = 0
  await Promise.all(
    Array.from({ length: CLIENTS }, async (_, nth) => {
      for (; performance.now() < until; done++) await act(nth)
    }),
  )
  return ((cpu(gate.child.pid!) - before) / done) * 1e6
}

async function echoes(gate: Gate, bytes: number): Promise<number> {
  const payload = Buffer.alloc(bytes, 'x')
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => gate.open()))
  const each = await cost(gate, async (nth) => {
    const answered = reply(sockets[nth]!, bytes)
    sockets[nth]!.write(payload)
    await answered
  })
  for (const socket of sockets) socket.destroy()
  return each
}

function reconnects(gate: Gate): Promise<number> {
  return cost(gate, async () => {
    const socket = await gate.open()
    const answered = reply(socket, 64)
    socket.write(Buffer.alloc(64))
    await answered
    socket.destroy()
  })
}

async function idle(gate: Gate): Promise<number> {
  await echoes(gate, 64)
  await delay(1000)
  const before = memory(gate.child.pid!)
  const sockets: Socket[] = []
  while (sockets.length < IDLE_PAIRS) {
    const some = await Promise.all(Array.from({ length: 25 }, () => gate.open()))
    await Promise.all(some.map((socket) => (socket.write('hello'), reply(socket, 5))))
    sockets.push(...some)
  }
  await delay(3000)
  const each = (memory(gate.child.pid!) - before) / IDLE_PAIRS
  for (const socket of sockets) socket.destroy()
  return each
}

const server = net.createServer({ noDelay: true }, (socket) => socket.on('error', () => {}).pipe(socket))
server.listen(0, '127.0.0.1', 1024)
await once(server, 'listening')
const { port: upstream } = server.address() as AddressInfo
const gates: Gate[] = []
for (const [nth, name] of ['in the clear', 'TLS', 'TLS, resumed'].entries())
  gates.push(await startGate(name, nth, upstream))

await compare(gates, [
  { what: 'memory of an idle pair', unit: 'B', ask: idle, rounds: 1 },
  { what: '64 B echo', unit: 'us', ask: (gate) => echoes(gate, 64), rounds: ROUNDS },
  { what: '64 KiB echo', unit: 'us', ask: (gate) => echoes(gate, 65_536), rounds: ROUNDS },
  { what: 'connect, echo, close', unit: 'us', ask: reconnects, rounds: ROUNDS },
])
server.close()
rmSync(folder, { recursive: true })
process.exit()
