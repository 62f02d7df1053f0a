// A reload that changes `shared`, with real Redis servers: the gate turns to another one, begins, ends, takes
// another name, and no connected client notices.

import { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate, yamlOf } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { connect, echo, isServed } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import type { Wire } from '../support/wire.ts'
import { get } from './program.ts'
import { redisServer } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

const MAX = 6

interface Keys {
  redis: RedisServer | null
  group?: string
  scope?: 'fleet' | 'process'
  /** Further keys of `shared`, and of its `redis`. */
  more?: string
  way?: string
}

interface Scene {
  gate: Gate
  reload(keys: Keys): Promise<string>
  fill(atMost?: number): Promise<Wire[]>
}

/** `nth` listener of its gate: `l0`, or `l1`. */
async function scene(t: Test, keys: Keys, nth: 0 | 1 = 0): Promise<Scene> {
  const upstream = await echo(t)
  const textOf = ({
    redis,
    group,
    scope = 'fleet',
    more = '',
    way = 'timeout: 500ms',
  }: Keys): [string, string] => [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connectionsPerClient: { max: ${MAX}, scope: ${scope} } }`,
    redis === null
      ? ''
      : `shared: { redis: { address: "127.0.0.1:${redis.port}", ${way} }${group === undefined ? '' : `, group: ${group}`}${more} }`,
  ]
  const [listener, top] = textOf(keys)
  const all = (text: string): string[] => [
    ...(nth === 0 ? [] : ['protocol: tcp, upstream: "127.0.0.1:1"']),
    text,
  ]
  const gate = await startGate(t, all(listener), {}, top)
  return {
    gate,
    reload: async (next) => {
      const [text, rest] = textOf(next)
      const result = await gate.reloadText(yamlOf(all(text), rest))
      return result.result === 'success' ? result.restartRequired.join() : JSON.stringify(result)
    },
    fill: async (atMost = 2 * MAX) => {
      const wires: Wire[] = []
      for (let misses = 0; misses < 3 && wires.length < atMost;) {
        const wire = await connect(t, gate.ports[nth]!).catch(() => null)
        if (wire !== null && (await isServed(wire))) wires.push(wire)
        else misses++
      }
      return wires
    },
  }
}

const series = (gate: Gate, name: string) => async (): Promise<string | undefined> =>
  new RegExp(`^sidegate_${name} (\\S+)$`, 'm').exec(await gate.metrics())?.[1]

const says = (gate: Gate, name: string, value: string): Promise<boolean> =>
  eventually(async () => (await series(gate, name)()) === value, {
    what: `${name} to be ${value}`,
    withinMs: 20_000,
  })

const shared = async (gate: Gate): Promise<Record<string, unknown> | null> =>
  (JSON.parse((await get(gate.adminPort, '/info')).body) as { shared: Record<string, unknown> | null }).shared

const gatesIn = async (redis: RedisServer): Promise<number> =>
  (await redis.cli('--raw', 'hkeys', 'sidegate:gates'))
    .split('\n')
    .filter((name) => name !== '' && name !== 'secret').length

test(
  'another Redis is told what is held, the one before is left, and who is connected stays and counts',
  needs('redis-server'),
  async (t) => {
    const [one, two] = [await redisServer(t), await redisServer(t)]
    const it = await scene(t, { redis: one })
    await says(it.gate, 'shared_up', '1')
    const wires = await it.fill(4)
    t.equal(wires.length, 4)
    t.equal(await it.reload({ redis: two }), '', 'nothing waits for a restart')
    await says(it.gate, 'shared_up', '1')
    t.match(await shared(it.gate), {
      isUp: true,
      mode: 'leased',
      redis: `127.0.0.1:${two.port}`,
      gates: 1,
      problem: null,
    })
    await eventually(async () => (await gatesIn(one)) === 0 && (await gatesIn(two)) === 1, {
      what: 'a gate that has moved',
    })
    for (const wire of wires) t.ok(await isServed(wire))
    t.equal((await it.fill()).length, MAX - 4, 'those that were there count at the other')
    t.ok((await two.cli('--raw', 'keys', 'sidegate:*')).split('\n').length >= 2)
  },
)

test(
  'a Redis that is not there is away as ever, and the next reload turns back',
  needs('redis-server'),
  async (t) => {
    const [one, gone] = [await redisServer(t), await redisServer(t)]
    await gone.signal('SIGKILL')
    const it = await scene(t, { redis: one })
    await says(it.gate, 'shared_up', '1')
    const [wire] = await it.fill(1)
    t.equal(await it.reload({ redis: gone }), '')
    await eventually(async () => (await shared(it.gate))?.['problem'] !== null, { what: 'a problem' })
    t.match(await shared(it.gate), { isUp: false, mode: 'local', redis: `127.0.0.1:${gone.port}` })
    t.equal(await series(it.gate, 'shared_up')(), '0')
    t.ok(await isServed(wire!))
    t.equal((await it.fill()).length, MAX - 1, 'the limit of a gate that is alone')
    await it.reload({ redis: one })
    await says(it.gate, 'shared_up', '1')
  },
)

test('what is not shared is, from a reload on, and the other way about', needs('redis-server'), async (t) => {
  const redis = await redisServer(t)
  const [first, second] = [await scene(t, { redis: null, scope: 'process' }), await scene(t, { redis })]
  t.equal(await shared(first.gate), null)
  const before = await first.fill(2)
  t.equal(await first.reload({ redis }), '')
  await says(first.gate, 'shared_gates', '2')
  await says(second.gate, 'shared_gates', '2')
  // Who was there before counts as it did. All others together have the limit.
  const [here, there] = [await first.fill(), await second.fill()]
  t.ok(here.length >= MAX - 1 && here.length + there.length <= MAX + 2, `${here.length} and ${there.length}`)
  t.equal(await first.reload({ redis: null, scope: 'process' }), '')
  t.equal(await shared(first.gate), null)
  t.equal(await series(first.gate, 'shared_up')(), undefined, 'no series that an alert would see')
  await eventually(async () => (await gatesIn(redis)) === 1, { what: 'a gate that has left' })
  for (const wire of [...before, ...here]) t.ok(await isServed(wire), 'who is there stays')
  t.equal((await first.fill()).length, MAX, 'a limit of its own')
})

test(
  'listeners of different names have one limit once they are in a group',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const [first, second] = [await scene(t, { redis }, 0), await scene(t, { redis }, 1)]
    await says(first.gate, 'shared_gates', '2')
    await says(second.gate, 'shared_gates', '2')
    const apart = [await first.fill(), await second.fill()]
    t.same(
      apart.map(({ length }) => length),
      [MAX, MAX],
      'each has its own',
    )
    for (const { reload } of [first, second]) t.equal(await reload({ redis, group: 'both' }), '')
    const [here, there] = [await first.fill(), await second.fill()]
    t.ok(
      here.length >= MAX - 1 && here.length + there.length <= MAX + 2,
      `${here.length} and ${there.length}`,
    )
    for (const wire of [...apart.flat(), ...here, ...there]) t.ok(await isServed(wire))
  },
)

test(
  'another time-out, or another way to the same Redis, gives nothing back',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    await redis.cli('acl', 'setuser', 'other', 'on', 'nopass', '~*', '+@all')
    const it = await scene(t, { redis })
    await says(it.gate, 'shared_up', '1')
    const wires = await it.fill(4)
    const { since } = (await shared(it.gate))!
    const named = (): Promise<string> => redis.cli('--raw', 'hkeys', 'sidegate:gates')
    const names = await named()
    t.equal(await it.reload({ redis, way: 'timeout: 400ms, onUnavailable: closed' }), '')
    t.match(await shared(it.gate), { isUp: true, mode: 'leased', since }, 'it has not gone')
    await redis.cli('config', 'set', 'slowlog-log-slower-than', '0')
    await redis.cli('slowlog', 'reset')
    t.equal(await it.reload({ redis, way: 'timeout: 400ms, onUnavailable: closed, user: other' }), '')
    await eventually(async () => (await redis.cli('client', 'list')).includes('user=other'), {
      what: 'another user',
    })
    await says(it.gate, 'shared_up', '1')
    t.equal(await named(), names, 'the gate has its name')
    const asked = await redis.cli('--raw', 'slowlog', 'get', '-1')
    const id = names.split('\n').find((name) => name !== 'secret')!
    t.match(asked, `${id} 10000 `, 'its signs of life are among what Redis was asked')
    t.notMatch(asked, `${id} 0 `, 'and has not left')
    t.equal((await it.fill()).length, MAX - 4)
    for (const wire of wires) t.ok(await isServed(wire))
  },
)

test('a reload that fails leaves all of it as it was', needs('redis-server'), async (t) => {
  const [one, two] = [await redisServer(t), await redisServer(t)]
  const it = await scene(t, { redis: one })
  await says(it.gate, 'shared_up', '1')
  const taken = await echo(t)
  const listener = 'protocol: tcp, upstream: "127.0.0.1:1"'
  const text = yamlOf(
    [listener, `${listener}, tcpKeepAlive: 20s`],
    `shared: { redis: { address: "127.0.0.1:${two.port}" } }`,
  ).replace(/(name: l1, address: )"127.0.0.1:0"/, `$1"127.0.0.1:${taken.port}"`)
  const result = await it.gate.reloadText(text)
  t.equal(result.result, 'failure')
  t.match(await shared(it.gate), { isUp: true, redis: `127.0.0.1:${one.port}` })
  t.equal((await it.fill()).length, MAX)
  t.equal(await gatesIn(two), 0)
})
