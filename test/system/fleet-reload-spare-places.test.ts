// Reloads while a gate holds spare places for a client, and while a newcomer at another gate waits for them: two
// real gates with a real Redis.

import root, { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import type { Wire } from '../support/wire.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { asker, redisServer } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

root.jobs = 3
const beside = { ...needs('redis-server'), buffered: true }

const MAX = 6
const CLIENT = '127.7.0.1'

interface Keys {
  max?: number
  scope?: 'fleet' | 'process'
  /** Keys of `shared.redis`, the address apart. */
  way?: string
  redis?: RedisServer | null
}

interface Scene {
  redis: RedisServer
  one: Gate
  other: Gate
  reload(gate: Gate, keys: Keys): Promise<void>
  /** A connection of the client is served by that gate. */
  isServed(gate: Gate): Promise<boolean>
  /** One that comes and goes, beside the one that stays. */
  visit(gate: Gate): Promise<void>
  /** The places of the client in Redis, by gate; spare ones have a plus. */
  places(): Promise<string[]>
}

async function scene(t: Test): Promise<Scene> {
  const redis = await redisServer(t)
  await redis.cli('acl', 'setuser', 'another', 'on', 'nopass', '~*', '+@all')
  const ask = asker(t, redis)
  const upstream = await echo(t)
  const textOf = ({ max = MAX, scope = 'fleet', way = '', redis: its = redis }: Keys): [string, string] => [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connectionsPerClient: { max: ${max}, scope: ${scope} } }`,
    its === null
      ? ''
      : `shared: { redis: { address: "127.0.0.1:${its.port}", timeout: 4s${way} }, plainKeys: on }`,
  ]
  const start = async (): Promise<Gate> => {
    const [listener, top] = textOf({})
    return startGate(t, [listener], {}, top)
  }
  const open = async (gate: Gate): Promise<Wire | null> => {
    const wire = await connect(t, gate.port, { from: CLIENT }).catch(() => null)
    if (wire === null) return null
    void wire.write('?')
    return wire.read(1).then(
      () => wire,
      () => null,
    )
  }
  const [one, other] = [await start(), await start()]
  await knowEachOther([one, other])
  return {
    redis,
    one,
    other,
    async reload(gate, keys) {
      const [listener, top] = textOf(keys)
      t.match(await gate.reloadText(yamlOf([listener], top)), { result: 'success' })
    },
    async isServed(gate) {
      return (await open(gate)) !== null
    },
    async visit(gate) {
      const wire = await open(gate)
      wire?.end()
      await eventually(() => gate.registry.size === 1, { what: 'the one that stays' })
    },
    async places() {
      const [key] = await ask('keys', `sidegate:*${CLIENT}*`)
      return key === undefined ? [] : ask('hkeys', key)
    },
  }
}

/** A connection by the first gate, which holds spare places besides. */
async function withSpares(t: Test): Promise<Scene> {
  const it = await scene(t)
  t.ok(await it.isServed(it.one))
  // The gate gives them back after a second or two, and holds some again when the client comes.
  const areHeld = async (): Promise<boolean> => {
    if ((await it.places()).some((name) => name.endsWith('+'))) return true
    await it.visit(it.one)
    return false
  }
  await eventually(areHeld, { what: 'spare places' })
  return it
}

const many = async ({ isServed }: Scene, gate: Gate, count: number): Promise<number> =>
  (await Promise.all(Array.from({ length: count }, () => isServed(gate)))).filter(Boolean).length

for (const [change, keys, others] of [
  ['removes shared', { redis: null, scope: 'process' }, 0],
  ['turns to another prefix', { way: ', prefix: "another:"' }, 0],
  ['asks as another user', { way: ', user: another' }, 1],
] as ReadonlyArray<[string, Keys, number]>)
  test(`a reload that ${change} gives the spare places of its gate back`, beside, async (t) => {
    const it = await withSpares(t)
    await it.reload(it.one, keys)
    await eventually(async () => (await it.places()).length === others, { what: 'places given back' })
    t.equal(await many(it, it.other, MAX - others), MAX - others, 'the client has all of them at the other')
  })

test(
  'a reload that turns to another Redis gives them back there, and reports only places in use',
  beside,
  async (t) => {
    const it = await withSpares(t)
    const next = await redisServer(t)
    await it.reload(it.one, { redis: next })
    await eventually(async () => (await it.places()).length === 0, { what: 'places given back' })
    t.equal(await many(it, it.other, MAX), MAX)
    await eventually(async () => (await next.cli('--raw', 'keys', `sidegate:*${CLIENT}*`)) !== '', {
      what: 'a report',
    })
    t.equal(await many(it, it.one, MAX), MAX - 1, 'the one that was there counts')
  },
)

test('a reload that lowers the maximum leaves no spare places beyond it', beside, async (t) => {
  const it = await withSpares(t)
  await it.reload(it.one, { max: 2 })
  t.equal(await many(it, it.one, 4), 1)
})

test('a reload that raises the maximum holds for the next newcomer', beside, async (t) => {
  const it = await withSpares(t)
  await it.reload(it.one, { max: MAX + 4 })
  t.equal(await many(it, it.one, MAX + 3), MAX + 3)
})

for (const [change, keys] of [
  ['asks as another user', { way: ', user: another' }],
  ['changes onUnavailable', { way: ', onUnavailable: closed' }],
  ['changes both', { way: ', user: another, onUnavailable: closed' }],
] as ReadonlyArray<[string, Keys]>)
  for (const at of ['one', 'other'] as const)
    test(
      `a newcomer that waits for spare places of another gate is let on beyond a reload that ${change}, at the ${at === 'one' ? 'gate that holds them' : 'gate of the newcomer'}`,
      beside,
      async (t) => {
        const it = await withSpares(t)
        const served = many(it, it.other, MAX - 1)
        await eventually(() => it.other.registry.open > it.other.registry.size, { what: 'some that wait' })
        await it.reload(it[at], keys)
        t.equal(await served, MAX - 1)
      },
    )
