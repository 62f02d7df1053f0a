// The bounds of docs/fleet.md, with a real Redis and three gates' leases, whose clocks differ.

import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { Fleet } from '../../src/fleet/fleet.ts'
import { redisConnect } from '../../src/fleet/redis.ts'
import { eventually } from '../support/eventually.ts'
import { needs } from '../support/tools.ts'
import { plainTarget, redisServer } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

const options = { prefix: 'sidegate:', timeoutMs: 2000, onUnavailable: 'local', plainKeys: false } as const

/** A clock whose milliseconds are shorter or longer than those of others, with another origin. */
function skewed(byMs: number, rate: number): Clock {
  return { ...systemClock, now: () => Math.floor(systemClock.now() * rate + byMs) }
}

async function fleet(t: Test, redis: RedisServer, clock: Clock = systemClock): Promise<Fleet> {
  const connect = redisConnect({ ...plainTarget, addresses: [{ host: '127.0.0.1', port: redis.port }] })
  const observer = { onUp() {}, onDown() {}, onGates() {}, onRequests() {}, onDrawn() {} }
  const one = new Fleet(options, { clock, random: Math.random, connect, observer })
  t.teardown(() => one.stop())
  one.start()
  await eventually(() => one.isUp, { what: 'a lease from Redis' })
  return one
}

/** Leases that each know of all gates. */
async function gates(t: Test, redis: RedisServer, clocks: Clock[]): Promise<Fleet[]> {
  const all: Fleet[] = []
  for (const clock of clocks) all.push(await fleet(t, redis, clock))
  await eventually(() => all.every(({ gates }) => gates === all.length), {
    what: 'gates that know each other',
    withinMs: 20_000,
  })
  return all
}

const three = [skewed(0, 1), skewed(3_600_000, 1.02), skewed(-0.5, 0.98)]

test(
  'over any second a client that hops between gates gets no more than rate, burst and a lease for each gate',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const all = await gates(t, redis, three)
    const rate = { perSec: 5, burst: 10 }
    const lease = Math.ceil(rate.burst / (all.length + 1))
    const clients = Array.from({ length: 2000 }, () => [] as number[])
    const buckets = clients.map((_, nth) =>
      all.map((one, gate) => ({
        tokens: one.bucket(`l client 10.0.0.${nth}`, rate, three[gate]!.now()),
        clock: three[gate]!,
      })),
    )
    // Ten times the rate, and at least as much as any gate may have.
    const rounds = 100
    for (let round = 0; round < rounds; round++) {
      for (const [nth, taken] of clients.entries()) {
        const { tokens, clock } = buckets[nth]![Math.floor(Math.random() * all.length)]!
        if (tokens.take(1, clock.now())) taken.push(performance.now())
      }
      await delay(20)
    }
    // A millisecond of Redis is one of ours, give or take the one in which it was late.
    const bound = (ms: number): number =>
      rate.burst + all.length * lease + Math.ceil((rate.perSec * ms) / 1000) + 1
    const over = clients.filter((times) =>
      times.some((from, i) =>
        times.slice(i).some((to, more) => to - from <= 1000 && more + 1 > bound(to - from)),
      ),
    )
    t.equal(over.length, 0)
    const total = clients.reduce((sum, times) => sum + times.length, 0)
    t.ok(total > clients.length * rate.burst * 0.9, `${total} taken: none is starved`)
    const commands = Number(/total_commands_processed:(\d+)/.exec(await redis.cli('info', 'stats'))![1])
    t.comment(`${total} taken by ${clients.length} clients, ${commands} commands`)
  },
)

test(
  'a client has no more connections than max and one for each gate, and exactly max once it is settled',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const all = await gates(t, redis, three)
    const max = 7
    const clients = Array.from({ length: 100 }, (_, nth) => ({
      counts: all.map((one) => one.count(`l client 10.0.0.${nth}`)),
      open: [] as number[],
      most: 0,
    }))
    const step = (churn: number): void => {
      for (const client of clients) {
        const gate = Math.floor(Math.random() * all.length)
        if (client.open.length > 0 && Math.random() < churn) {
          const [left] = client.open.splice(Math.floor(Math.random() * client.open.length), 1)
          client.counts[left!]!.release()
        } else if (client.counts[gate]!.take(max)) client.open.push(gate)
        client.most = Math.max(client.most, client.open.length)
      }
    }
    for (let round = 0; round < 100; round++) {
      step(0.3)
      await delay(10)
    }
    t.ok(
      clients.every(({ most }) => most <= max + all.length),
      'never more',
    )
    t.ok(clients.some(({ most }) => most >= max))
    // By what was let on unasked it may be over it, until those leave.
    await eventually(
      async () => {
        for (const client of clients)
          while (client.open.length > max) client.counts[client.open.pop()!]!.release()
        step(0)
        await delay(100)
        return clients.every(({ open }) => open.length === max)
      },
      { what: 'every client at its max', withinMs: 60_000 },
    )
    await delay(1500)
    step(0)
    t.ok(
      clients.every(({ open }) => open.length === max),
      'exactly',
    )
  },
)

test('what lies in Redis is hashed, bounded in time, and small', needs('redis-server'), async (t) => {
  const redis = await redisServer(t)
  const one = await fleet(t, redis)
  const count = one.count('l client 192.0.2.77')
  const tokens = one.bucket(
    'l client 192.0.2.77 bytes to_upstream',
    // Full again, and so gone, after 20 s: this process takes seconds to ask for it on a busy machine.
    { perSec: 1, burst: 100 },
    systemClock.now(),
  )
  count.take(5)
  tokens.take(20, systemClock.now())
  const keys = await eventually(
    async () => {
      const found = (await redis.cli('--raw', 'keys', '*')).split('\n')
      return found.length === 3 ? found : null
    },
    { what: 'a key of each' },
  )
  t.ok(keys.every((key) => key.startsWith('sidegate:')))
  t.notOk(keys.some((key) => key.includes('192.0.2')))
  for (const key of keys) {
    t.ok(Number(await redis.cli('pttl', key)) > 0, 'it expires by itself')
    const bytes = Number(await redis.cli('memory', 'usage', key))
    t.ok(bytes < 300, `${bytes} bytes`)
  }
})
