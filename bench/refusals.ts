// What does a refusal cost, and what do live pairs notice of a storm of them? 50 pairs ask for an echo 20 times a second each, alone and
// then beside 10,000 connections a second that are all refused; bare Node that resets whatever it accepts is the measure.
//
//     npm run build && node bench/refusals.ts [connections a second [words in the name of a scene]]
//
// The gate is a process of its own, the storm another (storm.c, which needs gcc); pairs and services are this one.

import { execFileSync, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { freePort } from './free-port.ts'
import { connect } from './connect.ts'
import { runGate } from './gate.ts'
import { cpu, memory } from './measure.ts'

const [, , perSecond = '10000', words = ''] = process.argv
const PER_SECOND = Number(perSecond)
const SECONDS = 10
const PAIRS = 50
const EVERY_MS = 50
const folder = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))

type Says = 'tcp' | 'http' | 'websocket'
interface Scene {
  name: string
  says: Says
  /** Of the listener; null is bare Node. */
  keys: string | null
}

const full = `limits: { connections: ${PAIRS} }`
const scenes: Scene[] = [
  { name: 'bare Node, reset at once', says: 'tcp', keys: null },
  { name: '`limits.connections`, tcp', says: 'tcp', keys: full },
  {
    name: '`limits.newConnections`, tcp',
    says: 'tcp',
    keys: `limits: { newConnections: { rate: 1, burst: ${PAIRS + 10}, onExceed: close } }`,
  },
  { name: '`access.deny`, tcp', says: 'tcp', keys: 'access: { deny: [127.0.1.0/24] }' },
  { name: '`limits.connections`, HTTP', says: 'http', keys: full },
  { name: '`limits.connections`, WebSocket', says: 'websocket', keys: full },
  { name: '`access.deny`, HTTP', says: 'http', keys: 'access: { deny: [127.0.1.0/24] }' },
]

/** As what it stands for begins: accept, look at the address, reset. */
const BARE = `
const server = require('node:net').createServer({ noDelay: true }, (socket) => {
  socket.on('error', () => {})
  if (socket.remoteAddress === '127.0.0.1') socket.pipe(socket)
  else socket.resetAndDestroy()
})
server.listen({ port: Number(process.argv[1]), host: '127.0.0.1', backlog: 4096 })`

interface Served {
  child: ChildProcess
  port: number
  metrics: number | null
}

interface LivePair {
  echo(): Promise<unknown>
  hasEnded(): boolean
  close(): void
}

async function start({ says, keys }: Scene, upstream: number): Promise<Served> {
  const port = await freePort()
  if (keys === null)
    return {
      child: spawn(process.execPath, ['-e', BARE, String(port)], { stdio: 'inherit' }),
      port,
      metrics: null,
    }
  const metrics = await freePort()
  const file = join(folder, 'refusals.yaml')
  writeFileSync(
    file,
    `health: { address: "127.0.0.1:${metrics}" }
admin: { address: "127.0.0.1:${await freePort()}" }
listeners:
  - { name: app, address: "127.0.0.1:${port}", protocol: ${says === 'tcp' ? 'tcp' : 'http'}, upstream: "127.0.0.1:${upstream}", ${keys} }
`,
  )
  return { child: runGate(file, 'ignore'), port, metrics }
}

async function livePair(port: number, says: Says): Promise<LivePair> {
  const socket = await connect(port)
  if (says === 'tcp')
    return {
      echo: () => (socket.write('?'), once(socket, 'data')),
      hasEnded: () => socket.destroyed || socket.readableEnded,
      close: () => socket.destroy(),
    }
  const websocket = new WebSocket(`ws://127.0.0.1:${port}`, { createConnection: () => socket })
  await once(websocket, 'open')
  return {
    echo: () => (websocket.send('?'), once(websocket, 'message')),
    hasEnded: () => websocket.readyState !== WebSocket.OPEN,
    close: () => websocket.terminate(),
  }
}

/** Round trips of all pairs, in milliseconds, sorted, until `until`. */
async function echoes(pairs: LivePair[], until: number): Promise<number[]> {
  const times: number[] = []
  await Promise.all(
    pairs.map(async (pair, nth) => {
      await delay((nth * EVERY_MS) / PAIRS)
      while (performance.now() < until) {
        const since = performance.now()
        await Promise.race([pair.echo(), delay(10_000, null, { ref: false })])
        const took = performance.now() - since
        times.push(took)
        await delay(EVERY_MS - (took % EVERY_MS))
      }
    }),
  )
  return times.sort((one, other) => one - other)
}

interface Reading {
  cpu: number
  descriptors: number
  memory: number
}

function read({ child }: Served): Reading {
  const pid = child.pid!
  return { cpu: cpu(pid), descriptors: readdirSync(`/proc/${pid}/fd`).length, memory: memory(pid) / 2 ** 20 }
}

async function rejected({ metrics }: Served): Promise<number> {
  if (metrics === null) return Number.NaN
  const text = await (await fetch(`http://127.0.0.1:${metrics}/metrics`)).text()
  return [...text.matchAll(/^sidegate_connections_rejected_total\{.*\} (\d+)$/gm)].reduce(
    (sum, [, count]) => sum + Number(count),
    0,
  )
}

type Storm = Record<'reset' | 'answered' | 'closed' | 'admitted' | 'failed' | 'p50' | 'p99', number>

async function storm({ port }: Served, { says }: Scene, seconds: number): Promise<Storm> {
  const child = spawn(join(folder, 'storm'), [String(port), String(PER_SECOND), String(seconds), says], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += String(chunk)))
  await once(child, 'close')
  return JSON.parse(said) as Storm
}

const quantile = (sorted: number[], q: number): string =>
  (sorted[Math.floor(sorted.length * q)] ?? 0).toFixed(2)
const shown = (times: number[]): string => `${quantile(times, 0.5)}, ${quantile(times, 0.99)}`

async function run(scene: Scene, upstream: number): Promise<{ costUs: number }> {
  const served = await start(scene, upstream)
  const pairs: LivePair[] = []
  try {
    while (pairs.length < PAIRS) pairs.push(await livePair(served.port, scene.says))
    await storm(served, scene, 2)
    await echoes(pairs, performance.now() + 500)
    const idle = read(served)
    const alone = await echoes(pairs, performance.now() + 3000)
    const before = read(served)
    const countedBefore = await rejected(served)
    const since = performance.now()
    const [found, beside] = await Promise.all([
      storm(served, scene, SECONDS),
      echoes(pairs, since + SECONDS * 1000),
    ])
    const seconds = (performance.now() - since) / 1000
    const during = read(served)
    await delay(1500)
    const after = read(served)
    const refused = found.reset + found.answered + found.closed
    // What the pairs themselves cost is not the storm's.
    const costUs = ((during.cpu - before.cpu - ((before.cpu - idle.cpu) / 3) * seconds) / refused) * 1e6
    console.log(`${scene.name}
  refused ${refused} (${(refused / SECONDS).toFixed(0)} a second; answered ${found.answered}, FIN ${found.closed}, RST ${found.reset}), let in ${found.admitted}, not dialled ${found.failed}, counted ${(await rejected(served)) - countedBefore}
  each: ${costUs.toFixed(1)} us of CPU; the client knows after ${found.p50}, ${found.p99} ms (p50, p99)
  live pairs, p50, p99 in ms: ${shown(alone)} alone, ${shown(beside)} beside it; ended ${pairs.filter((pair) => pair.hasEnded()).length}
  CPU ${(((during.cpu - before.cpu) / seconds) * 100).toFixed(0)} % of a core; descriptors ${before.descriptors} before, ${after.descriptors} after; memory ${before.memory.toFixed(0)} MB before, ${after.memory.toFixed(0)} MB after`)
    return { costUs }
  } finally {
    for (const pair of pairs) pair.close()
    served.child.kill('SIGKILL')
  }
}

async function main(): Promise<void> {
  execFileSync('gcc', ['-O2', '-o', join(folder, 'storm'), join(import.meta.dirname, 'storm.c')], {
    stdio: 'inherit',
  })
  const echo = net
    .createServer({ noDelay: true }, (socket) => void socket.on('error', () => {}).pipe(socket))
    .listen(0, '127.0.0.1')
  const websockets = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  websockets.on('connection', (socket) =>
    socket.on('message', (data, binary) => socket.send(data, { binary })),
  )
  await Promise.all([once(echo, 'listening'), once(websockets, 'listening')])
  try {
    let bareUs = Number.NaN
    for (const scene of scenes.filter(({ name }) => name.includes(words))) {
      const { port } = (scene.says === 'tcp' ? echo : websockets).address() as AddressInfo
      const { costUs } = await run(scene, port)
      if (scene.keys === null) bareUs = costUs
      else console.log(`  ${(costUs / bareUs).toFixed(2)} of what bare Node needs`)
    }
  } finally {
    echo.close()
    websockets.close()
    rmSync(folder, { recursive: true })
  }
}

await main()
