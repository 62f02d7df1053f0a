// What messages mode costs beside frames mode: CPU of the gate for each message, and memory of an idle pair, in one run.
// `npm run build && node bench/websocket-modes.ts`. Ratios count; figures are in README.md.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket, WebSocketServer } from 'ws'
import { runGate } from './gate.ts'
import { compare, cpu, memory } from './measure.ts'

const modes = {
  frames: 'mode: frames',
  messages: 'mode: messages',
  'messages, dropOldest': 'mode: messages, slowConsumer: { policy: dropOldest }',
  'messages, compression on': 'mode: messages, compression: on',
}
const IDLE_PAIRS = 2000
const ROUNDS = 3
const ROUND_MS = 1000
const CLIENTS = 16

const folder = mkdtempSync(join(tmpdir(), 'bench-'))

interface Gate {
  name: string
  child: ChildProcess
  url: string
}

async function startGate(name: string, websocket: string, upstream: number, nth: number): Promise<Gate> {
  const port = 18_300 + nth * 10
  const file = join(folder, `${nth}.yaml`)
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${port + 1}" }\nadmin: { address: "127.0.0.1:${port + 2}" }\nlog: { level: error }\nlisteners:\n  - { address: "127.0.0.1:${port}", protocol: http, upstream: "127.0.0.1:${upstream}", websocket: { ${websocket} } }\n`,
  )
  const child = runGate(file)
  const gate = { name, child, url: `ws://127.0.0.1:${port}` }
  for (;;) {
    const isUp = await open(gate, false).then(
      (socket) => (socket.terminate(), true),
      () => false,
    )
    if (isUp) return gate
    await pass(100)
  }
}

const pass = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function open({ url }: Gate, perMessageDeflate: boolean): Promise<WebSocket> {
  const socket = new WebSocket(url, { perMessageDeflate })
  await once(socket, 'open')
  return socket
}

/** Microseconds of the gate's CPU for each message, there and back being two; `inFlight` at a time for each client. */
async function cost(gate: Gate, bytes: number, inFlight: number): Promise<number> {
  const payload = Buffer.alloc(bytes, 'some text that a service might send, ')
  const sockets = await Promise.all(
    Array.from({ length: CLIENTS }, () => open(gate, gate.name.includes('compression'))),
  )
  let messages = 0
  for (const socket of sockets) {
    socket.on('message', () => {
      messages += 2
      if (socket.readyState === WebSocket.OPEN) socket.send(payload)
    })
    for (let i = 0; i < inFlight; i++) socket.send(payload)
  }
  await pass(300)
  const [before, from] = [cpu(gate.child.pid!), messages]
  await pass(ROUND_MS)
  const spent = ((cpu(gate.child.pid!) - before) / (messages - from)) * 1e6
  for (const socket of sockets) socket.terminate()
  await pass(100)
  return spent
}

async function idle(gate: Gate): Promise<number> {
  await cost(gate, 64, 1)
  await pass(1000)
  const before = memory(gate.child.pid!)
  const sockets: WebSocket[] = []
  while (sockets.length < IDLE_PAIRS) {
    const some = await Promise.all(
      Array.from({ length: 50 }, () => open(gate, gate.name.includes('compression'))),
    )
    // One message each: what is made with the first is counted too.
    await Promise.all(some.map((socket) => (socket.send('hello'.repeat(300)), once(socket, 'message'))))
    sockets.push(...some)
  }
  await pass(3000)
  const each = (memory(gate.child.pid!) - before) / IDLE_PAIRS
  for (const socket of sockets) socket.terminate()
  await pass(500)
  return each
}

const server = new WebSocketServer({ host: '127.0.0.1', port: 0, backlog: 1024 })
server.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })))
await once(server, 'listening')
const { port } = server.address() as AddressInfo
const gates: Gate[] = []
for (const [nth, [mode, websocket]] of Object.entries(modes).entries())
  gates.push(await startGate(mode, websocket, port, nth))

await compare(gates, [
  { what: 'memory of an idle pair', unit: 'B', ask: idle, rounds: 1 },
  { what: '64 B echo', unit: 'us', ask: (gate) => cost(gate, 64, 1), rounds: ROUNDS },
  { what: '64 B echo, 32 in flight', unit: 'us', ask: (gate) => cost(gate, 64, 32), rounds: ROUNDS },
  { what: '4 KiB echo', unit: 'us', ask: (gate) => cost(gate, 4096, 1), rounds: ROUNDS },
  { what: '64 KiB echo', unit: 'us', ask: (gate) => cost(gate, 65_536, 1), rounds: ROUNDS },
])
server.close()
rmSync(folder, { recursive: true })
process.exit()
