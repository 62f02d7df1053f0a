// Limits of the fleet that only observe, with a real Redis: they count what they would have done, which is nothing
// to a client within its limits, and delay nobody.

import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { redisServer } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

const MAX = 20
const BURST = 90

async function scene(t: Test, limits: string, server?: RedisServer): Promise<[Gate, Gate]> {
  const redis = server ?? (await redisServer(t))
  const upstream = await echo(t)
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { mode: observe, ${limits} }`
  const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 2s }, plainKeys: on }`
  const gates: [Gate, Gate] = [
    await startGate(t, [listener], {}, top),
    await startGate(t, [listener], {}, top),
  ]
  await knowEachOther(gates)
  return gates
}

const observed = async (gate: Gate, limit: string): Promise<number> =>
  readSamples(await gate.metrics()).sum('sidegate_observed_total', { limit })

const comeTo = (t: Test, gate: Gate, count: number) =>
  Promise.all(Array.from({ length: count }, () => connect(t, gate.port)))

test(
  'connections of a client: those over its places are counted, and those within are not',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const [one, other] = await scene(t, `connectionsPerClient: { max: ${MAX}, scope: fleet }`, redis)
    const inRedis = (): Promise<string> => redis.cli('hvals', 'sidegate:count l0 client 127.0.0.1')
    await comeTo(t, one, 12)
    await eventually(async () => /^12:\d+$/.test(await inRedis()), { what: 'no spare places' })
    await comeTo(t, other, 4)
    await eventually(async () => /^4:/m.test(await inRedis()), { what: 'no spare places' })
    t.same(
      [await observed(one, 'connectionsPerClient'), await observed(other, 'connectionsPerClient')],
      [0, 0],
    )
    for (let more = 0; more < 10; more++) await connect(t, other.port)
    await eventually(async () => (await observed(other, 'connectionsPerClient')) >= 3, {
      what: 'what is over',
    })
    await eventually(async () => /^14:/m.test(await inRedis()), { what: 'all of them' })
    t.ok((await observed(other, 'connectionsPerClient')) <= 10)
  },
)

for (const per of ['client', 'listener'])
  test(
    `new connections for each ${per}: a burst is not counted, and what is over it is`,
    needs('redis-server'),
    async (t) => {
      const rule = `rate: 1, burst: ${BURST}, per: ${per}, onExceed: close, scope: fleet`
      const [one, other] = await scene(t, `newConnections: { ${rule} }`)
      await comeTo(t, one, BURST)
      t.equal(await observed(one, 'newConnections'), 0)
      for (let more = 0; more < BURST; more++) await connect(t, other.port)
      await eventually(async () => (await observed(other, 'newConnections')) > 0, { what: 'what is over' })
    },
  )

for (const onExceed of ['delay', 'close'])
  test(
    `bytes that would ${onExceed}: a burst is not counted, and what is over it is`,
    needs('redis-server'),
    async (t) => {
      const [one, other] = await scene(
        t,
        `bytes: { rate: 1KiB, burst: 1MiB, per: client, onExceed: ${onExceed}, scope: fleet }`,
      )
      const say = async (gate: Gate, count: number): Promise<void> => {
        const wire = await connect(t, gate.port)
        for (let nth = 0; nth < count; nth++) {
          void wire.write(Buffer.alloc(50_000))
          await wire.read(50_000)
        }
      }
      await say(one, 18)
      t.equal(await observed(one, 'bytes'), 0)
      await say(other, 40)
      t.ok((await observed(other, 'bytes')) > 0)
    },
  )
