// How long a listing takes with thousands of pairs open, and what an echo through the gate feels of it. Two processes:
// this one holds the clients, the service and the asker; the gate is the program. Usage: node bench/admin-listing.ts [PAIRS]

import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { runGate } from './gate.ts'
import { cpu } from './measure.ts'

const pairs = Number(process.argv[2] ?? 5000)
const ECHOES = 1500
const [admin, health, front] = [17_420, 17_421, 17_480] as const

const service = net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
await once(service, 'listening')
const directory = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
const file = join(directory, 'sidegate.yaml')
writeFileSync(
  file,
  `health: { address: "127.0.0.1:${health}" }
admin: { address: "127.0.0.1:${admin}" }
log: { level: error }
listeners: [{ name: raw, address: "127.0.0.1:${front}", protocol: tcp, upstream: "127.0.0.1:${(service.address() as net.AddressInfo).port}" }]
`,
)
const gate = runGate(file)

function ask(path: string): Promise<{ ms: number; bytes: number }> {
  const start = performance.now()
  return new Promise((resolve, reject) => {
    http
      .get({ port: admin, host: '127.0.0.1', path, agent: false }, (response) => {
        let bytes = 0
        response
          .on('data', (piece: Buffer) => (bytes += piece.length))
          .on('end', () => resolve({ ms: performance.now() - start, bytes }))
      })
      .on('error', reject)
  })
}

/** Milliseconds of `ECHOES` round trips of one byte, one after the other, sorted. */
async function echoes(): Promise<number[]> {
  const socket = net.connect(front, '127.0.0.1').setNoDelay()
  await once(socket, 'connect')
  const took: number[] = []
  for (let nth = 0; nth < ECHOES; nth++) {
    const start = performance.now()
    socket.write('x')
    await once(socket, 'data')
    took.push(performance.now() - start)
    await delay(2)
  }
  socket.destroy()
  return took.sort((one, other) => one - other)
}

function show(name: string, sorted: readonly number[]): void {
  const at = (share: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!.toFixed(2)
  process.stdout.write(`${name.padEnd(44)} median ${at(0.5)}  p99 ${at(0.99)}  max ${at(1)} ms\n`)
}

for (let tries = 0; tries < 100; tries++) {
  await delay(100)
  if (
    await ask('/info').then(
      () => true,
      () => false,
    )
  )
    break
}
const clients: net.Socket[] = []
for (let opened = 0; opened < pairs; opened += 100) {
  const batch = Array.from({ length: Math.min(100, pairs - opened) }, () =>
    net.connect(front, '127.0.0.1').on('error', () => {}),
  )
  clients.push(...batch)
  await Promise.all(batch.map((socket) => once(socket, 'connect')))
}
await delay(1000)
process.stdout.write(`${pairs} pairs\n`)
show('echo, nobody asks', await echoes())
for (const path of [
  '/info',
  '/connections',
  '/connections?sort=rate&limit=200',
  `/connections?sort=buffered&limit=${pairs}`,
]) {
  let bytes = 0
  const took: number[] = []
  for (let nth = 0; nth < 20; nth++) {
    const answer = await ask(path)
    bytes = answer.bytes
    took.push(answer.ms)
  }
  show(
    `${path} (${Math.round(bytes / 1024)} KiB)`,
    took.sort((one, other) => one - other),
  )
}
/** Echoes while `work` is done again and again. */
async function beside(work: () => Promise<unknown>): Promise<number[]> {
  const over = new AbortController()
  const working = (async () => {
    while (!over.signal.aborted) await work()
  })()
  const took = await echoes()
  over.abort()
  await working
  return took
}

show(
  'echo, beside one top',
  await beside(() => Promise.all([ask('/info'), ask('/connections?sort=rate&limit=200'), delay(1000)])),
)
/** As a page asks, five on the overview and five on the connections with the kernel looked at for each row, one question at a time. */
async function page(nth: number, signal: AbortSignal): Promise<void> {
  const ofView: Array<readonly [path: string, everyMs: number]> =
    nth % 2 === 0
      ? [
          ['/series?after=1', 5000],
          ['/listeners', 5000],
          ['/upstreams', 5000],
        ]
      : [['/connections?limit=200&wait=1', 2000]]
  const questions = [['/info', 2000] as const, ...ofView].map(([path, everyMs]) => ({ path, everyMs, at: 0 }))
  while (!signal.aborted) {
    const due = questions.find(({ at }) => at <= performance.now())
    if (due === undefined) {
      await delay(20)
      continue
    }
    const { ms } = await ask(due.path)
    due.at = performance.now() + Math.max(due.everyMs, 15 * ms)
  }
}

/** Echoes beside that many pages that are open and seen, and the CPU of the gate meanwhile, as a share of a core. */
async function besidePages(count: number): Promise<{ took: number[]; share: number }> {
  const over = new AbortController()
  const pages = Array.from({ length: count }, (_, nth) => page(nth, over.signal))
  const [before, start] = [cpu(gate.pid!), performance.now()]
  const took = [...(await echoes()), ...(await echoes())].sort((one, other) => one - other)
  const share = ((cpu(gate.pid!) - before) * 1000) / (performance.now() - start)
  over.abort()
  await Promise.all(pages)
  return { took, share }
}

for (let round = 0; round < 3; round++)
  for (const count of [0, 10]) {
    const { took, share } = await besidePages(count)
    show(`echo, beside ${count} open pages (${(share * 100).toFixed(1)} % of a core)`, took)
  }
show('echo, beside full listings without a pause', await beside(() => ask(`/connections?limit=${pairs}`)))
for (const socket of clients) socket.destroy()
service.close()
rmSync(directory, { recursive: true })
process.exit(0)
