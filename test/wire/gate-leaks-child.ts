// Run by gate-leaks.test.ts with --expose-gc: rounds of connections that end in every way, and what is left after each.

import net from 'node:net'
import { once } from 'node:events'
import { systemClock } from '../../src/core/clock.ts'
import { parseConfig } from '../../src/config/load.ts'
import { Log } from '../../src/log/log.ts'
import { startOperator } from '../support/start-operator.ts'
import { eventually, within } from '../support/eventually.ts'
import { leaks, resources } from '../support/leaks.ts'

const ROUNDS = 6
const PER_ROUND = 2000
/** At a time, so that neither backlogs nor descriptors run out. */
const AT_ONCE = 500

type Act = (socket: net.Socket) => void
interface Kind {
  upstream: (socket: net.Socket) => void
  deadlines?: string
  client: Act
}

const hangUp: Act = (socket) => void socket.on('end', () => socket.end())
const kinds: Kind[] = [
  // The client ends, the upstream answers and ends.
  { upstream: (socket) => socket.pipe(socket), client: (socket) => socket.end('hello') },
  // The upstream ends first.
  { upstream: (socket) => socket.resume().end('hello'), client: hangUp },
  // The client resets, with bytes on their way.
  {
    upstream: (socket) => socket.resume().write('x'),
    client: (socket) => socket.write('x', () => socket.resetAndDestroy()),
  },
  // The upstream resets.
  {
    upstream: (socket) => socket.once('data', () => socket.resetAndDestroy()),
    client: (socket) => socket.write('x'),
  },
  // idle_timeout, half_close_timeout, lifetime_timeout.
  { upstream: (socket) => hangUp(socket.resume()), deadlines: 'idle: 100ms', client: hangUp },
  { upstream: (socket) => socket.resume().end(), deadlines: 'halfClose: 100ms', client: () => {} },
  { upstream: (socket) => hangUp(socket.resume()), deadlines: 'lifetime: 100ms', client: hangUp },
]

const HALF_CLOSED = 5
const LONG = { withinMs: 20_000 }

const collect = (globalThis as { gc?: () => void }).gc!
const servers = await Promise.all(
  kinds.map(async ({ upstream }) => {
    const server = net.createServer({ allowHalfOpen: true }, (socket) =>
      upstream(socket.on('error', () => {})),
    )
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return server
  }),
)
const refusing = new net.BoundSocket({ host: '127.0.0.1', port: 0 })
const listeners = [
  ...kinds.map(
    ({ deadlines = '' }, nth) =>
      `"127.0.0.1:${(servers[nth]!.address() as net.AddressInfo).port}", deadlines: { ${deadlines} }`,
  ),
  `{ addresses: ["127.0.0.1:${refusing.address().port}"], retryFor: 300ms }`,
].map((rest, nth) => `  - { name: l${nth}, address: "127.0.0.1:0", protocol: tcp, upstream: ${rest} }\n`)
const config = parseConfig(
  `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n${listeners.join('')}`,
  'test.yaml',
)

const ends = new Map<string, number>()
/** Calls for the reported end of a client's connection, by its listener and address: one port may go to several. */
const told = new Map<string, () => void>()
const writer = {
  dropped: 0,
  write(line: string) {
    const { msg, close, listener, client } = JSON.parse(line) as Record<string, string>
    if (msg !== 'connection closed') return
    ends.set(close!, (ends.get(close!) ?? 0) + 1)
    told.get(`${listener} ${client}`)?.()
    told.delete(`${listener} ${client}`)
  },
}
const { operator, registry } = await startOperator(config, {
  log: new Log({ writer, clock: systemClock }),
  logWriter: writer,
})

async function one(nth: number): Promise<void> {
  const kind = nth % (kinds.length + 1)
  const socket = net.connect({ port: operator.ports[kind]!, host: '127.0.0.1', allowHalfOpen: true })
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => {}).resume()
  kinds[kind]?.client(socket)
  // A socket that has seen FIN does not see the RST that follows; a write would find it, and put it off.
  if (kind === HALF_CLOSED)
    socket.once('connect', () => told.set(`l${kind} 127.0.0.1:${socket.localPort}`, () => socket.destroy()))
  await within(closed, { ...LONG, what: `the end of kind ${kind}` })
}

async function round(): Promise<void> {
  for (let done = 0; done < PER_ROUND; done += AT_ONCE)
    await Promise.all(Array.from({ length: AT_ONCE }, (_, nth) => one(done + nth)))
  await eventually(() => registry.size === 0, LONG)
  for (const server of servers)
    await eventually(
      () => new Promise((resolve) => server.getConnections((_error, count) => resolve(count === 0))),
      LONG,
    )
}

process.stdout.write('') // opens it
const start = resources()
for (let nth = 0; nth < ROUNDS; nth += 1) {
  await round()
  // A read of /proc/net/tcp may be on its way.
  await eventually(() => leaks(start).length === 0, { withinMs: 3000 }).catch(() => {})
  for (let pass = 0; pass < 5; pass += 1) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  const { heapUsed, external } = process.memoryUsage()
  process.stdout.write(
    `${JSON.stringify({ heapUsed, external, resources: resources(), start, registry: registry.size, ends: Object.fromEntries(ends) })}\n`,
  )
}
await operator.stop()
process.exit(0)
