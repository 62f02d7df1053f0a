// Limits of a fleet in a Redis Cluster whose nodes come and go: three primaries with a replica each. A gate is on `onUnavailable` for as
// long as a node is missing, without turning back and forth; connections of every transport go on meanwhile, and the limit is one again
// once a replica has taken the place of its primary. A slot that moves, and primaries that change places with their replicas in order, are
// no outage.

import root, { test, type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { eventually } from '../support/eventually.ts'
import { connect } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { openLine } from '../support/transports.ts'
import type { Line } from '../support/transports.ts'
import { at, fleetAt, worksForMany } from './fleet-alone.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { isPrimary, primaryOf, replicaOf, sixNodes, those, threeNodes } from './redis-cluster.ts'
import { plainTarget } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

root.jobs = 3
const beside = { ...needs('redis-server'), timeout: 170_000, buffered: true }

const everywhere = (nodes: readonly RedisServer[]) =>
  ({ ...plainTarget, kind: 'cluster', addresses: nodes.flatMap(({ port }) => at(port)) }) as const

/** A primary that the signs of life do not go to: a probe reaches their node all the same. */
async function victimAmong(nodes: readonly RedisServer[]): Promise<RedisServer> {
  const spared = await primaryOf(nodes, 'sidegate:gates')
  return (await those(nodes, isPrimary)).find((node) => node !== spared)!
}

const hasReplaced = (nodes: readonly RedisServer[], victim: RedisServer): Promise<unknown> => {
  const others = nodes.filter((node) => node !== victim)
  return eventually(async () => (await those(others, isPrimary)).length === 3, {
    what: 'a replica in the place of its primary',
    withinMs: 60_000,
  })
}

// By itself: others that begin meanwhile keep this process from hearing the answers in time.
const alone = { ...beside, buffered: false }
test('a gate has reached every node of a cluster before it counts as up', alone, async (t) => {
  const nodes = await threeNodes(t)
  const { isUp, ups, problems } = fleetAt(t, everywhere(nodes))
  await isUp()
  for (const node of nodes) t.match(await node.cli('client', 'list'), /cmd=(?:time|evalsha|eval|cluster)/)
  t.equal(ups.length, 1)
  t.same(problems, [])
})

const bucketOf = (fleet: Fleet, nth: number) =>
  fleet.bucket(`l client 192.0.2.${nth} bytes`, { perSec: 1000, burst: 1000 }, systemClock.now())

const faults: Record<string, (victim: RedisServer) => Promise<void>> = {
  'is killed': (victim) => victim.signal('SIGKILL'),
  'is stopped': (victim) => victim.signal('SIGSTOP'),
}

for (const [title, begin] of Object.entries(faults)) {
  test(`a gate turns to onUnavailable once while a node ${title}, and back once`, beside, async (t) => {
    const nodes = await sixNodes(t)
    const { fleet, isUp, ups } = fleetAt(t, everywhere(nodes), 300)
    await isUp()
    await worksForMany(fleet)
    const before = ups.length
    const victim = await victimAmong(nodes)
    // It takes the place only once the gate has missed the primary, however busy the machine is.
    const replica = await replicaOf(nodes, victim)
    await replica.cli('config', 'set', 'cluster-replica-no-failover', 'yes')
    await begin(victim)
    // Clients of all nodes go on to draw.
    const draw = setInterval(() => {
      for (let nth = 0; nth < 30; nth++) bucketOf(fleet, nth).take(100, systemClock.now())
    }, 20)
    t.teardown(() => clearInterval(draw))
    await eventually(() => !fleet.isUp, { what: 'a node that is missed', withinMs: 20_000 })
    await replica.cli('cluster', 'failover', 'takeover')
    await hasReplaced(nodes, victim)
    await isUp()
    await worksForMany(fleet)
    t.equal(ups.length, before + 1)
    await victim.signal('SIGCONT')
  })
}

const MAX = 12
const GATES = ['tcp', 'websocket', 'http', 'h2'] as const
const LIMITS = `connectionsPerClient: { max: ${MAX}, scope: fleet }, bytes: { rate: 10MiB, per: client, scope: fleet }`

/** A gate for each transport, each with a connection of the same client. */
async function linesAt(t: Test, nodes: readonly RedisServer[]): Promise<Line[]> {
  const addresses = nodes.map(({ port }) => `"127.0.0.1:${port}"`).join(', ')
  const top = `shared: { redis: { cluster: [${addresses}], timeout: 500ms } }`
  const lines: Line[] = []
  for (const transport of GATES) lines.push(await openLine(t, transport, `limits: { ${LIMITS} }`, { top }))
  await knowEachOther(lines.map(({ gate }) => gate))
  return lines
}

async function pass(lines: readonly Line[]): Promise<void> {
  for (const { client, service } of lines) {
    await client.send(1000)
    await service.send(1000)
    await eventually(() => service.got.bytes === client.sent && client.got.bytes === service.sent, {
      what: 'bytes in either direction',
      withinMs: 20_000,
    })
  }
}

/** Exactly the places that are left come to be taken, and no more than one for each gate beyond them. */
async function limitIsExact(t: Test, { gate }: Line): Promise<void> {
  await eventually(
    async () => {
      await connect(t, gate.port).catch(() => null)
      return gate.registry.size >= MAX - GATES.length + 1
    },
    { what: 'all places taken', withinMs: 40_000 },
  )
  t.ok(gate.registry.size <= MAX + 1, `${gate.registry.size} at this gate`)
}

const events: Record<string, (nodes: RedisServer[]) => Promise<void>> = {
  'a node is killed': async (nodes) => {
    const victim = await victimAmong(nodes)
    await victim.signal('SIGKILL')
    await hasReplaced(nodes, victim)
  },
  'a node is stopped': async (nodes) => {
    const victim = await victimAmong(nodes)
    await victim.signal('SIGSTOP')
    await hasReplaced(nodes, victim)
  },
  'all primaries change places with their replicas': async (nodes) => {
    for (const replica of await those(nodes, async (node) => !(await isPrimary(node)))) {
      await replica.cli('cluster', 'failover')
      await eventually(() => isPrimary(replica), { what: 'a failover', withinMs: 30_000 })
    }
  },
}

for (const [title, event] of Object.entries(events)) {
  test(
    `connections of every transport go on while ${title}, and the limit is one again`,
    beside,
    async (t) => {
      const nodes = await sixNodes(t)
      const lines = await linesAt(t, nodes)
      await pass(lines)
      const state = { isOver: false }
      const over = event(nodes).finally(() => (state.isOver = true))
      while (!state.isOver) {
        await pass(lines)
        await Promise.race([over, new Promise((resolve) => setTimeout(resolve, 50))])
      }
      await over
      for (const { gate } of lines)
        await eventually(async () => (await gate.metrics()).includes('\nsidegate_shared_up 1\n'), {
          what: 'a cluster that answers',
          withinMs: 40_000,
        })
      await pass(lines)
      await limitIsExact(t, lines[0]!)
      for (const { gate } of lines)
        t.same(
          gate.lines.filter(({ close }) => close !== 'too_many'),
          [],
        )
    },
  )
}
