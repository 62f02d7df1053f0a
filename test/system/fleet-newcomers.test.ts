// New connections under limits of the fleet: through real gates with a real Redis. Many come while Redis is
// being asked, and the gates refuse none that they would have let on with an answer at once.

import { test, type Test } from 'tap'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { needs } from '../support/tools.ts'
import type { Wire } from '../support/wire.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { longWay, redisServer } from './redis-server.ts'

const BURST = 30
const GATES = 2

const ways = ['tcp', 'PROXY header', 'tls', 'PROXY header and tls'] as const
type Way = (typeof ways)[number]

interface Scene {
  gates: Gate[]
  /** Whether a new connection by that gate is served. */
  comes(gate: Gate): Promise<Wire | null>
}

async function scene(t: Test, limits: string, way: Way = 'tcp'): Promise<Scene> {
  const redis = await redisServer(t)
  const upstream = await echo(t)
  const ca = way.endsWith('tls') ? authority(t) : null
  const server = ca?.issue('server')
  const keys = [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { ${limits} }`,
    ...(server === undefined ? [] : [`tls: { cert: "${server.cert}", key: "${server.key}" }`]),
    ...(way.startsWith('PROXY') ? ['proxyProtocol: { accept: v1, trusted: [127.0.0.0/8] }'] : []),
  ]
  const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 2s } }`
  const gates: Gate[] = []
  while (gates.length < GATES) gates.push(await startGate(t, [keys.join(', ')], {}, top))
  await knowEachOther(gates)
  const header = 'PROXY TCP4 192.0.2.7 192.0.2.1 7000 443\r\n'
  const first = way.startsWith('PROXY') ? { head: header } : {}
  const open = (gate: Gate): Promise<Wire> =>
    ca === null ? connect(t, gate.port) : tlsConnect(t, gate.port, { ca: ca.cert, ...first })
  const comes = async (gate: Gate): Promise<Wire | null> => {
    const wire = await open(gate).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ECONNRESET') throw error
      return null
    })
    if (wire === null) return null
    void wire.write(way === 'PROXY header' ? `${header}?` : '?')
    return wire.read(1).then(
      () => wire,
      (error: unknown) => {
        if (wire.outcome === null) throw error
        return null
      },
    )
  }
  return { gates, comes }
}

const many = async (gate: Gate, count: number, { comes }: Scene): Promise<number> => {
  const all = await Promise.all(Array.from({ length: count }, () => comes(gate)))
  return all.filter((wire) => wire !== null).length
}

async function refused(gate: Gate): Promise<number> {
  const told = /^sidegate_connections_rejected_total\{[^}]*reason="(?:rate_limited|too_many)"\} (\d+)$/gm
  return [...(await gate.metrics()).matchAll(told)].reduce((sum, [, count]) => sum + Number(count), 0)
}

for (const per of ['client', 'listener'] as const)
  for (const way of per === 'client' ? ways : (['tcp'] as const))
    test(
      `new connections for each ${per} that come at once are let on as far as the burst of the fleet goes, and no further: ${way}`,
      needs('redis-server'),
      async (t) => {
        const rule = `rate: 1, burst: ${BURST}, per: ${per}, onExceed: close, scope: fleet`
        const it = await scene(t, `newConnections: { ${rule} }`, way)
        const [one, other] = it.gates as [Gate, Gate]
        const since = performance.now()
        t.equal(await many(one, BURST, it), BURST, 'the burst, by one gate')
        t.equal(await refused(one), 0)
        const more = (await many(one, BURST, it)) + (await many(other, BURST, it))
        // By the bound of docs/fleet.md: what flowed in, and one lease for each gate.
        const flowed = Math.ceil((performance.now() - since) / 1000)
        const lease = Math.ceil(BURST / (GATES + 1))
        t.ok(more <= flowed + GATES * lease, `${more} more`)
        t.equal((await refused(one)) + (await refused(other)), 2 * BURST - more)
      },
    )

async function isServed(t: Test, gate: Gate): Promise<boolean> {
  // One that comes right after the answer is refused at its accept.
  const wire = await connect(t, gate.port).catch(() => null)
  if (wire === null) return false
  void wire.write('?')
  return wire.read(1).then(
    () => true,
    () => false,
  )
}

for (const way of ways)
  test(
    `a client nobody has seen that opens several connections at once gets them all, as far as max goes: ${way}`,
    needs('redis-server'),
    async (t) => {
      const it = await scene(t, 'connectionsPerClient: { max: 20, scope: fleet }', way)
      const [one, other] = it.gates as [Gate, Gate]
      t.equal(await many(one, 12, it), 12)
      t.equal(await refused(one), 0)
      const more = (await many(one, 20, it)) + (await many(other, 20, it))
      t.ok(more <= 20 - 12 + GATES, `${more} more`)
    },
  )

test(
  'a gate whose Redis does not answer refuses and lets on by its own share, and nobody waits for longer than one probe',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const upstream = await echo(t)
    const rule = 'newConnections: { rate: 1, burst: 60, per: client, onExceed: close, scope: fleet }'
    const gate = await startGate(
      t,
      [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { ${rule} }`],
      {},
      `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 300ms } }`,
    )
    await eventually(async () => /^sidegate_shared_up 1$/m.test(await gate.metrics()), { what: 'a lease' })
    await redis.signal('SIGSTOP')
    t.teardown(() => redis.signal('SIGCONT'))
    const watch = stopwatch(t)
    const all = await Promise.all(Array.from({ length: 150 }, () => isServed(t, gate)))
    const { ms, livedMs } = watch
    const served = all.filter(Boolean).length
    // One lease unasked, and then its share, which is all of it: it is alone. A token flows in each second.
    t.ok(served >= 60 && served <= 60 * 1.5 + 6 + ms / 1000, `${served} were let on`)
    t.ok(ms >= 250 && livedMs < 10_000, `${Math.round(livedMs)} of ${Math.round(ms)} ms`)
  },
)

test(
  'a client for whom others have the last place is told so as soon as a distant Redis has answered',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const upstream = await echo(t)
    const limits = 'limits: { connectionsPerClient: { max: 3, scope: fleet } }'
    const gateAt = (port: number): Promise<Gate> =>
      startGate(
        t,
        [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${limits}`],
        {},
        `shared: { redis: { address: "127.0.0.1:${port}", timeout: 2s } }`,
      )
    const [near, far] = [await gateAt(redis.port), await gateAt(await longWay(t, redis, 80))]
    await knowEachOther([near, far])
    for (let taken = 0; taken < 3; taken++) t.ok(await isServed(t, near))
    t.ok(await isServed(t, far), 'the first is let on unasked')
    for (let more = 0; more < 3; more++) t.notOk(await isServed(t, far), 'refused, and not kept waiting')
    t.match(await far.metrics(), /^sidegate_connections_rejected_total\{[^}]*reason="too_many"\} 3$/m)
  },
)
