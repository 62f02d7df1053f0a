// The limits of a fleet without a gate, with a real Redis.

import type { Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { Fleet } from '../../src/fleet/fleet.ts'
import { redisConnect } from '../../src/fleet/redis.ts'
import type { RedisTarget } from '../../src/fleet/redis.ts'
import { eventually } from '../support/eventually.ts'

export function fleetAt(t: Test, target: RedisTarget, timeoutMs = 1000) {
  const problems: string[] = []
  const ups: number[] = []
  const observer = {
    onUp: () => void ups.push(systemClock.now()),
    onDown: (problem: string) => void problems.push(problem),
    onGates() {},
    onRequests() {},
    onDrawn() {},
  }
  const options = { prefix: 'sidegate:', timeoutMs, onUnavailable: 'closed', plainKeys: true } as const
  const context = { clock: systemClock, random: Math.random, connect: redisConnect(target), observer }
  const fleet = new Fleet(options, context)
  t.teardown(() => fleet.stop())
  fleet.start()
  return {
    fleet,
    problems,
    /** The times at which it was up again. */
    ups,
    isUp: () => eventually(() => fleet.isUp, { what: 'a lease', withinMs: 40_000 }),
  }
}

/** Draws tokens, takes places, and gets answers. */
export async function works(fleet: Fleet, client: string): Promise<void> {
  const tokens = fleet.bucket(`l client ${client} bytes`, { perSec: 1000, burst: 1000 }, systemClock.now())
  const count = fleet.count(`l client ${client}`)
  await eventually(() => count.take(20) && count.take(20), { what: 'places', withinMs: 20_000 })
  for (let more = 0; more < 3; more++)
    await eventually(() => tokens.take(400, systemClock.now()), { what: 'tokens', withinMs: 20_000 })
}

/** All at once, since each mostly waits. */
export async function worksForMany(fleet: Fleet): Promise<void> {
  await Promise.all(Array.from({ length: 30 }, (_, nth) => works(fleet, `192.0.2.${nth}`)))
}

export const at = (port: number) => [{ host: '127.0.0.1', port }]

/** The list of docs/fleet.md. */
export const rules =
  '~sidegate:* +evalsha +eval +time +get +set +del +hget +hgetall +hset +hsetnx +hdel +hexists +pexpire +select'
