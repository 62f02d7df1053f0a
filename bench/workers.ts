// What several workers cost and give beside one, in turn: start, memory, how connections are shared, CPU per message, and what an echo feels
// of whoever asks the admin server. Usage: npm run build, then node bench/workers.ts [ROUNDS] [start | sharing | relay]

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runGate } from './gate.ts'
import { compare, cpu, median, memory, resident } from './measure.ts'

const rounds = Number(process.argv[2] ?? 5)
const only = process.argv[3]
const [CLIENTS, IDLE, MESSAGE] = [100, 1000, 64] as const
/** Sharing is a matter of chance: of so many times so many connections. */
const [TIMES, SHARED] = [100, 200] as const
const START_MS = 30_000
/** Below the ports that the system gives to clients. */
const BASE = 27_100

const service = net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
await once(service, 'listening')
const directory = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
process.once('exit', () => rmSync(directory, { recursive: true }))

interface Gate {
  name: string
  pid: number
  port: number
  admin: number
  startedMs: number
  /** CPU time that the start took. */
  startedCpuMs: number
  child: ChildProcess
}

async function start(workers: number, base: number): Promise<Gate> {
  const file = join(directory, `${workers}.yaml`)
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${base}" }
admin: { address: "127.0.0.1:${base + 1}" }
log: { level: error }
workers: ${workers}
listeners: [{ name: raw, address: "127.0.0.1:${base + 2}", protocol: tcp, upstream: "127.0.0.1:${(service.address() as net.AddressInfo).port}" }]
`,
  )
  const at = performance.now()
  const child = runGate(file, 'ignore')
  while ((await status(base, '/startupz').catch(() => 0)) !== 200) {
    if (performance.now() - at > START_MS) throw new Error(`workers: ${workers}: it does not start`)
    await delay(2)
  }
  return {
    name: `workers: ${workers}`,
    pid: child.pid!,
    port: base + 2,
    admin: base + 1,
    startedMs: performance.now() - at,
    startedCpuMs: cpu(child.pid!) * 1000,
    child,
  }
}

async function end({ child }: Gate): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

/** In turn, so that a busy moment of the machine meets all of them alike. */
async function starts(): Promise<void> {
  const found = new Map<number, Gate[]>([1, 2, 4].map((workers) => [workers, []]))
  for (let round = 0; round < rounds * 2; round++)
    for (const [workers, gates] of found) {
      const gate = await start(workers, BASE)
      gates.push(gate)
      await end(gate)
    }
  for (const [workers, gates] of found) {
    const ms = gates.map(({ startedMs }) => startedMs)
    const said = [Math.min(...ms), median(ms), median(gates.map((gate) => gate.startedCpuMs))].map(Math.round)
    console.log(
      `workers: ${workers}: started in ${said[0]} ms at best, ${said[1]} as a rule, ${said[2]} ms of CPU`,
    )
  }
}

/** How many connections each worker has. */
async function loads({ admin }: Gate, workers: number): Promise<number[]> {
  const found = await new Promise<string>((resolve, reject) => {
    http
      .get({ port: admin, host: '127.0.0.1', path: '/connections?limit=1000', agent: false }, (answer) => {
        let text = ''
        answer.setEncoding('utf8').on('data', (piece: string) => (text += piece))
        answer.once('end', () => resolve(text))
      })
      .once('error', reject)
  })
  const counts = Array.from({ length: workers }, () => 0)
  for (const { id } of JSON.parse(found) as Array<{ id: number }>) counts[id % workers]!++
  return counts
}

/** Whether the kernel's hash shares as chance would. */
async function sharing(): Promise<void> {
  const gate = await start(2, BASE)
  const shares: number[] = []
  for (let time = 0; time < TIMES; time++) {
    const sockets = await Promise.all(Array.from({ length: SHARED }, () => open(gate)))
    let counts: number[]
    do counts = await loads(gate, 2)
    while (counts[0]! + counts[1]! < SHARED)
    shares.push(Math.max(...counts) / SHARED)
    for (const socket of sockets) socket.resetAndDestroy()
    while ((await loads(gate, 2)).some((count) => count > 0)) await delay(5)
  }
  const percent = (share: number): string => `${(share * 100).toFixed(1)} %`
  const within = shares.filter((share) => share <= 0.6).length
  console.log(
    `${TIMES} times ${SHARED} connections over 2 workers: the fuller one has ${percent(median(shares))} as a rule, ${percent(Math.max(...shares))} at the most, at most 60 % ${within} times`,
  )
  await end(gate)
}

function status(port: number, path: string, method = 'GET'): Promise<number> {
  return new Promise((resolve, reject) => {
    http
      .request({ port, host: '127.0.0.1', path, method, agent: false }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0))
      })
      .on('error', reject)
      .end()
  })
}

async function open(gate: Gate): Promise<net.Socket> {
  const socket = net.connect(gate.port, '127.0.0.1').setNoDelay()
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Each client says a message when the last one came back; gives how long each took. */
async function echoes(gate: Gate, clients: number, ms: number): Promise<number[]> {
  const took: number[] = []
  const sockets = await Promise.all(Array.from({ length: clients }, () => open(gate)))
  const message = Buffer.alloc(MESSAGE)
  for (const socket of sockets) {
    let at = 0
    let got = 0
    const say = (): void => {
      at = performance.now()
      socket.write(message)
    }
    socket.on('data', (bytes) => {
      got += bytes.length
      if (got < MESSAGE) return
      got = 0
      took.push(performance.now() - at)
      say()
    })
    say()
  }
  await delay(ms)
  for (const socket of sockets) socket.destroy()
  return took
}

async function cpuPerMessage(gate: Gate): Promise<number> {
  const before = cpu(gate.pid)
  const { length } = await echoes(gate, CLIENTS, 3000)
  return ((cpu(gate.pid) - before) * 1e6) / length
}

async function p99(gate: Gate, beside: () => Promise<unknown>): Promise<number> {
  const over = new AbortController()
  const asking = (async () => {
    while (!over.signal.aborted) await Promise.all([beside(), delay(1)])
  })()
  const took = (await echoes(gate, 20, 2000)).toSorted((a, b) => a - b)
  over.abort()
  await asking
  return took[Math.floor(took.length * 0.99)]!
}

if (only === undefined || only === 'start') await starts()
if (only === undefined || only === 'sharing') await sharing()
const gates = [await start(1, BASE), await start(2, BASE + 10), await start(4, BASE + 20)]
await delay(2000)
for (const { name, pid } of gates)
  console.log(
    `${name}: ${(resident(pid) / 2 ** 20).toFixed(1)} MB idle, ${(memory(pid) / 2 ** 20).toFixed(1)} of them its own`,
  )
if (only !== undefined && only !== 'relay') process.exit(0)
await compare(gates, [
  { what: 'CPU per message of 64 B there and back', unit: 'us', rounds, ask: cpuPerMessage },
  {
    what: 'messages a second, 100 clients',
    unit: '/s',
    rounds,
    ask: async (gate) => (await echoes(gate, CLIENTS, 2000)).length / 2,
  },
  {
    what: 'p99 of an echo among 20, nobody asks',
    unit: 'ms',
    rounds,
    ask: (gate) => p99(gate, () => delay(50)),
  },
])
for (const gate of gates) {
  const idle = await Promise.all(Array.from({ length: IDLE }, () => open(gate)))
  gate.name += `, ${idle.length} idle`
}
await compare(gates, [
  {
    what: 'p99 of an echo among 20, beside full listings without a pause',
    unit: 'ms',
    rounds,
    ask: (gate) => p99(gate, () => status(gate.admin, '/connections?limit=5000')),
  },
  {
    what: 'p99 of an echo among 20, beside a CPU profile of the main thread',
    unit: 'ms',
    rounds,
    ask: (gate) => p99(gate, () => status(gate.admin, '/debug/cpuprofile?seconds=1', 'POST')),
  },
])
process.exit(0)
