// What messages mode costs beside frames mode: CPU of the gate for each message, and memory of an idle pair, in one run.
// `npm run build && node bench/websocket-modes.ts`. Ratios count; figures are in README.md.

import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket, WebSocketServer } from 'ws'
import { cpu, median, memory } from './measure.ts'

const modes = { 'frames': 'mode: frames', 'messages': 'mode: messages', 'messages, dropOldest': 'mode: messages, slowConsumer: { policy: dropOldest }', 'messages, compression on': 'mode: messages, compression: on' }
const IDLE_PAIRS = 2000
const ROUNDS = 3
const ROUND_MS = 1000
const CLIENTS = 16

const folder = mkdtempSync(join(tmpdir(), 'bench-'))

interface Gate {
  mode: string
  child: ChildProcess
  url: string
}

async function startGate(mode: string, websocket: string, upstream: number, nth: number): Promise<Gate> {
  const port = 18_300 + nth * 10
  const file = join(folder, `${nth}.yaml`)
  writeFileSync(file, `health: { address: "127.0.0.1:${port + 1}" }\nadmin: { address: "127.0.0.1:${port + 2}" }\nlog: { level: error }\nlisteners:\n  - { address: "127.0.0.1:${port}", protocol: http, upstream: "127.0.0.1:${upstream}", websocket: { ${websocket} } }\n`)
  const child = spawn(process.execPath, [join(import.meta.dirname, '../dist/cli.js'), 'run', '-c', file], { stdio: 'inherit' })
  // However this process ends.
  process.once('exit', () => child.kill('SIGKILL'))
  const gate = { mode, child, url: `ws://127.0.0.1:${port}` }
  for (;;) {
    const isUp = await open(gate, false).then((socket) => (socket.terminate(), true), () => false)
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
  const sockets = await Promise.all(Array.from({ length: CLIENTS }, () => open(gate, gate.mode.includes('compression'))))
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
    const some = await Promise.all(Array.from({ length: 50 }, () => open(gate, gate.mode.includes('compression'))))
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
for (const [nth, [mode, websocket]] of Object.entries(modes).entries()) gates.push(await startGate(mode, websocket, port, nth))

const questions: Array<[string, string, (gate: Gate) => Promise<number>, number]> = [
  ['memory of an idle pair', 'B', idle, 1],
  ['64 B echo', 'us', (gate) => cost(gate, 64, 1), ROUNDS],
  ['64 B echo, 32 in flight', 'us', (gate) => cost(gate, 64, 32), ROUNDS],
  ['4 KiB echo', 'us', (gate) => cost(gate, 4096, 1), ROUNDS],
  ['64 KiB echo', 'us', (gate) => cost(gate, 65_536, 1), ROUNDS],
]
for (const [question, unit, ask, rounds] of questions) {
  const found = new Map(gates.map((gate) => [gate.mode, [] as number[]]))
  for (let round = 0; round < rounds; round++) for (const gate of gates) found.get(gate.mode)!.push(await ask(gate))
  const base = median(found.get('frames')!)
  console.log(question)
  for (const [mode, all] of found) console.log(`  ${mode}: ${median(all).toFixed(2)} ${unit}, ${(median(all) / base).toFixed(2)}`)
}
server.close()
rmSync(folder, { recursive: true })
process.exit()
