// Three real gates with limits of the fleet, and the effects on their clients while Redis is away, in each
// way that it can be.

import net from 'node:net'
import { once } from 'node:events'
import root, { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { connect, echo, isServed } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { Wire } from '../support/wire.ts'
import { runProgram, type Program } from './program.ts'
import { redisServer } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

/** Each scene has its own Redis, and mostly waits: several at once. */
root.jobs = 4
const beside = { ...needs('redis-server'), buffered: true }

const MAX = 6
const GATES = 3

interface Scene {
  redis: RedisServer
  gates: Program[]
}

async function scene(t: Test, { onUnavailable = 'local', port = 0, count = GATES } = {}): Promise<Scene> {
  const redis = await redisServer(t)
  const upstream = await echo(t)
  const address = `127.0.0.1:${port === 0 ? redis.port : port}`
  const top = `drain: { minDuration: off, spread: off, timeout: 1s }
shared: { redis: { address: "${address}", timeout: 500ms, onUnavailable: ${onUnavailable} } }`
  const limits = `limits: { connectionsPerClient: { max: ${MAX}, scope: fleet } }`
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${limits}`
  const gates: Program[] = []
  while (gates.length < count) gates.push(await runProgram(t, [listener], { top }))
  await allSay(gates, 'sidegate_shared_gates', count)
  return { redis, gates }
}

async function allSay(gates: readonly Program[], name: string, value: number): Promise<void> {
  for (const gate of gates)
    await eventually(async () => (await gate.metrics()).get(name) === value, {
      what: `${name} to be ${value}`,
      withinMs: 40_000,
    })
}

/** Opens connections one after the other, as many as this gate lets on. */
async function fill(t: Test, gate: Program, atMost = 20): Promise<Wire[]> {
  const wires: Wire[] = []
  for (let misses = 0; misses < 3 && wires.length < atMost;) {
    const socket = net.connect({ port: gate.port, host: '127.0.0.1' })
    t.teardown(() => void socket.destroy())
    const wire = new Wire(socket)
    await Promise.race([once(socket, 'connect').catch(() => null), wire.closed])
    if (await isServed(wire)) wires.push(wire)
    else misses++
  }
  return wires
}

async function leave(wires: Wire[], gates: readonly Program[]): Promise<void> {
  for (const wire of wires) wire.end()
  for (const gate of gates)
    await eventually(
      async () => (await gate.metrics()).sum('sidegate_connections', { side: 'client' }) === 0,
      {
        what: 'no connection',
      },
    )
}

/** As many as the limit allows, or as are left of it, at any gate. */
async function settled(t: Test, gates: readonly Program[], count = MAX): Promise<Wire[]> {
  const wires: Wire[] = []
  await eventually(
    async () => {
      for (const gate of gates) wires.push(...(await fill(t, gate)))
      return wires.length >= count
    },
    { what: 'all places taken', withinMs: 40_000 },
  )
  return wires
}

interface Fault {
  begin: (redis: RedisServer) => unknown
  end: (redis: RedisServer) => unknown
}

const faults: Record<string, Fault> = {
  'is killed, and comes back empty': {
    begin: (redis) => redis.signal('SIGKILL'),
    end: (redis) => redis.start(),
  },
  'is stopped': {
    begin: (redis) => redis.signal('SIGSTOP'),
    end: (redis) => redis.signal('SIGCONT'),
  },
  'is slower than shared.redis.timeout': {
    begin: (redis) => redis.cli('client', 'pause', '600000', 'all'),
    end: async (redis) => {
      await redis.signal('SIGKILL')
      await redis.start()
    },
  },
  'is full': {
    begin: (redis) => redis.cli('config', 'set', 'maxmemory', '1'),
    end: (redis) => redis.cli('config', 'set', 'maxmemory', '0'),
  },
  'wants another password': {
    begin: async (redis) => {
      await redis.cli('config', 'set', 'requirepass', 'another')
      await redis.cli('-a', 'another', '--no-auth-warning', 'client', 'kill', 'type', 'normal')
    },
    end: (redis) => redis.cli('-a', 'another', '--no-auth-warning', 'config', 'set', 'requirepass', ''),
  },
}

for (const [title, { begin, end }] of Object.entries(faults)) {
  test(
    `while Redis ${title}, whoever is there stays, each gate lets on its share at once, and then the limit is one again`,
    beside,
    async (t) => {
      const { redis, gates } = await scene(t)
      const stayers = await settled(t, gates)
      t.ok(stayers.length <= MAX + GATES, `${stayers.length} in all`)
      await begin(redis)
      await allSay(gates, 'sidegate_shared_up', 0)
      for (const wire of stayers) t.ok(await isServed(wire), 'who is there stays')
      await leave(stayers, gates)
      const shares = []
      for (const gate of gates) shares.push(await fill(t, gate))
      t.same(
        shares.map(({ length }) => length),
        [MAX / GATES, MAX / GATES, MAX / GATES],
        'each its share',
      )
      await end(redis)
      await allSay(gates, 'sidegate_shared_up', 1)
      await allSay(gates, 'sidegate_shared_gates', GATES)
      for (const wire of shares.flat()) t.ok(await isServed(wire), 'and nobody ends because it is back')
      for (const gate of gates) t.same(await fill(t, gate), [], 'the limit is one again')
    },
  )
}

for (const [onUnavailable, lets] of [
  ['open', 20],
  ['closed', 0],
] as const) {
  test(`onUnavailable: ${onUnavailable}`, beside, async (t) => {
    // Each gate decides by itself.
    const { redis, gates } = await scene(t, { onUnavailable, count: 1 })
    await redis.signal('SIGKILL')
    await allSay(gates, 'sidegate_shared_up', 0)
    for (const gate of gates) t.equal((await fill(t, gate)).length, lets)
  })
}

test('a gate that is killed gives its places back within 30 s', beside, async (t) => {
  const { gates } = await scene(t, { count: 2 })
  const [first, ...others] = gates as [Program, ...Program[]]
  const held = await settled(t, [first])
  t.equal(held.length, MAX)
  const before = performance.now()
  first.child.kill('SIGKILL')
  await first.exited
  await settled(t, others)
  const ms = performance.now() - before
  t.ok(ms > 100, `after ${Math.round(ms)} ms`)
  t.comment(`free after ${Math.round(ms)} ms`)
})

test(
  'a gate that goes on after its places have run out keeps its connections, and the limit holds again once as many have gone',
  beside,
  async (t) => {
    const { gates } = await scene(t, { count: 2 })
    const [first, other] = gates as [Program, Program]
    const held = await settled(t, [first])
    first.child.kill('SIGSTOP')
    const taken = await settled(t, [other])
    t.equal(taken.length, MAX)
    first.child.kill('SIGCONT')
    for (const wire of [...held, ...taken]) t.ok(await isServed(wire), 'everybody stays')
    await allSay(gates, 'sidegate_shared_gates', 2)
    const nobody = async (): Promise<void> => {
      for (const gate of gates) t.same(await fill(t, gate), [], 'and nobody else is let on')
    }
    await nobody()
    await leave(held, [first])
    await nobody()
    taken.pop()!.end()
    const more = await settled(t, gates, 1)
    t.equal(more.length, 1)
  },
)

test('spare places of a gate that is killed are free before those that it used', beside, async (t) => {
  const { redis, gates } = await scene(t, { count: 2 })
  const [first, other] = gates as [Program, Program]
  /** Of the client: by gate, and the spare ones of a gate with a plus. */
  const places = async (): Promise<Map<string, number>> => {
    const keys = (await redis.cli('--raw', 'keys', 'sidegate:*')).split('\n')
    const [key = ''] = keys.filter((one) => !one.endsWith(':gates'))
    const words = (await redis.cli('--raw', 'hgetall', key)).split('\n')
    return new Map(words.flatMap((word, nth) => (nth % 2 ? [[words[nth - 1]!, parseInt(word)]] : [])))
  }
  // Spare ones go back after a second: the client comes until the gate is killed in time.
  const [stays] = await fill(t, first, 1)
  t.ok(stays)
  await eventually(
    async () => {
      for (const wire of await fill(t, first, 1)) wire.end()
      return [...(await places()).keys()].some((name) => name.endsWith('+'))
    },
    { what: 'spare places', withinMs: 20_000 },
  )
  first.child.kill('SIGKILL')
  await first.exited
  const [dead, used] = [...(await places())].find(([name]) => !name.endsWith('+'))!
  const all = await Promise.all(Array.from({ length: MAX - used }, () => connect(t, other.port)))
  const served = await Promise.all(all.map(isServed))
  t.equal((await places()).get(dead), used, 'those in use are not free yet')
  t.equal(served.filter(Boolean).length, MAX - used, 'all others are, and nobody was refused for them')
})

test('a gate that is told to end has given everything back when it is gone', beside, async (t) => {
  const { redis, gates } = await scene(t, { count: 2 })
  const [first, other] = gates as [Program, Program]
  t.equal((await settled(t, [first])).length, MAX)
  first.child.kill('SIGTERM')
  await first.exited
  t.equal(await redis.cli('--raw', 'keys', '*'), 'sidegate:gates', 'no place is taken any more')
  t.equal(await redis.cli('hlen', 'sidegate:gates'), '2', 'the other gate, and the secret')
  t.equal((await fill(t, other)).length, MAX)
})

test('a gate starts, and serves, where Redis is not there', beside, async (t) => {
  const redis = await redisServer(t)
  await redis.signal('SIGKILL')
  const upstream = await echo(t)
  const gate = await runProgram(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connectionsPerClient: { max: 3, scope: fleet } }`,
    ],
    { top: `shared: { redis: { address: "127.0.0.1:${redis.port}" } }` },
  )
  t.equal((await fill(t, gate)).length, 3)
  t.equal((await gate.metrics()).get('sidegate_shared_up'), 0)
  t.ok(gate.lines.some((line) => line.includes('limits of the fleet: Redis is away')))
})

test('without shared nothing of it is loaded', beside, async (t) => {
  const upstream = await echo(t)
  const gate = await runProgram(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const wire = await connect(t, gate.port)
  t.ok(await isServed(wire))
  t.equal((await gate.metrics()).get('sidegate_shared_up'), undefined)
})
