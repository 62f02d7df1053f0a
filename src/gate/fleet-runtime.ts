// This gate's share in the limits of a whole fleet: made where the configuration asks for them, moved to
// another Redis by a reload, and reported to the log, the metrics and the admin server.

import type { SharedView } from '../admin/types.ts'
import type { Address } from '../config/address.ts'
import type { Config } from '../config/schema.ts'
import type { Clock } from '../core/clock.ts'
import { isSame } from '../core/late.ts'
import type { FleetOptions } from '../fleet/context.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { RedisAddress, RedisTarget } from '../fleet/redis.ts'
import type { Log } from '../log/log.ts'
import type { FleetMetrics } from '../metrics/fleet-metrics.ts'
import type { GateMetrics } from '../metrics/gate-metrics.ts'

export interface FleetParts {
  clock: Clock
  random: () => number
  metrics: GateMetrics
  /**
   * Each of several workers has its own way to Redis, which may break alone: each logs it, with its number.
   */
  log: Pick<Log, 'info' | 'warn'>
  /** Silent where another thread logs the same. */
  facts: Pick<Log, 'info' | 'warn'>
  worker: number
  workers: number
}

type SharedConfig = NonNullable<Config['shared']>

/** Loads the Redis client, which a gate without such limits does not load. It connects at `start`. */
export async function makeFleet(config: SharedConfig, parts: FleetParts): Promise<FleetRuntime> {
  const [{ Fleet }, { redisConnect }] = await Promise.all([
    import('../fleet/fleet.ts'),
    import('../fleet/redis.ts'),
  ])
  return new FleetRuntime(config, parts, { Fleet, redisConnect })
}

interface Loaded {
  Fleet: typeof import('../fleet/fleet.ts').Fleet
  redisConnect: typeof import('../fleet/redis.ts').redisConnect
}

export class FleetRuntime {
  readonly cells: Fleet
  readonly #parts: FleetParts
  readonly #redisConnect: Loaded['redisConnect']
  #config: SharedConfig
  #metrics: FleetMetrics | null = null
  /** When the store came or went, by the wall clock in milliseconds, and why it went. */
  #changedAt: number | null = null
  #problem: string | null = null

  constructor(config: SharedConfig, parts: FleetParts, { Fleet, redisConnect }: Loaded) {
    this.#config = config
    this.#parts = parts
    this.#redisConnect = redisConnect
    const { clock, random } = parts
    this.cells = new Fleet(optionsOf(config), {
      clock,
      random,
      connect: redisConnect(targetOf(config.redis)),
      observer: {
        onUp: (gates) => this.#onUp(gates),
        onDown: (problem) => this.#onDown(problem),
        onGates: (gates) => this.#metrics?.onGates(gates),
        onRequests: (count, result, ms) => this.#metrics?.onRequests(count, result, ms),
        onDrawn: (ms) => this.#metrics?.onDrawn(ms),
      },
    })
  }

  /** Does not wait for Redis. */
  start(): void {
    this.#metrics = this.#parts.metrics.announceFleet()
    this.cells.start()
  }

  /** Applies the changes of a reload. */
  turnTo(config: SharedConfig): void {
    const before = this.#config
    this.#config = config
    this.cells.settle(optionsOf(config))
    if (isSame(wayOf(before), wayOf(config))) return
    this.#metrics?.onDown()
    this.#changedAt = this.#parts.clock.wall()
    this.#problem = null
    this.#parts.facts.info('limits of the fleet: another Redis is asked', { redis: this.#where })
    const isSameData = isSame(dataOf(before), dataOf(config))
    void this.cells.turnTo(optionsOf(config), this.#redisConnect(targetOf(config.redis)), isSameData)
  }

  get view(): SharedView {
    const { mode, gates, size, isUp } = this.cells
    const [changedAt, problem] = [this.#changedAt, this.#problem]
    const since = changedAt === null ? null : new Date(changedAt).toISOString()
    return { redis: this.#where, isUp, mode, gates, leases: size, since, problem }
  }

  stop(): Promise<void> {
    this.#parts.metrics.withdrawFleet()
    this.#metrics = null
    return this.cells.stop()
  }

  get #where(): string {
    return whereIs(targetOf(this.#config.redis))
  }

  get #whose() {
    const { worker, workers } = this.#parts
    return workers === 1 ? { redis: this.#where } : { redis: this.#where, worker }
  }

  #onUp(gates: number): void {
    this.#metrics?.onUp()
    this.#changedAt = this.#parts.clock.wall()
    this.#problem = null
    this.#parts.log.info('limits of the fleet: leased from Redis', { ...this.#whose, gates })
  }

  #onDown(problem: string): void {
    this.#metrics?.onDown()
    if (this.#problem === null) this.#changedAt = this.#parts.clock.wall()
    this.#problem = problem
    const { onUnavailable } = this.#config.redis
    this.#parts.log.warn('limits of the fleet: Redis is away', { ...this.#whose, onUnavailable, problem })
  }
}

function optionsOf({ redis, plainKeys }: SharedConfig): FleetOptions {
  const { prefix, timeoutMs, onUnavailable } = redis
  return { prefix, timeoutMs, onUnavailable, plainKeys }
}

/** The part of the configuration whose change makes the gate connect again. */
function wayOf({ redis, plainKeys }: SharedConfig) {
  const { timeoutMs: _, onUnavailable: __, ...way } = redis
  return { ...way, plainKeys }
}

/** Where the keys are. */
function dataOf({ redis, plainKeys }: SharedConfig) {
  const { address, sentinels, master, cluster, database, prefix } = redis
  return { address, sentinels, master, cluster, database, prefix, plainKeys }
}

type RedisConfig = SharedConfig['redis']

function targetOf({ address, sentinels, cluster, ...others }: RedisConfig): RedisTarget {
  if (cluster.length > 0) return { ...others, kind: 'cluster', addresses: cluster.map(toRedis) }
  if (sentinels.length > 0) return { ...others, kind: 'sentinels', addresses: sentinels.map(toRedis) }
  return { ...others, kind: 'server', addresses: address === null ? [] : [toRedis(address)] }
}

/** Sentinels answer while Redis is away: an operator would look there in vain. */
function whereIs({ kind, addresses, master }: RedisTarget): string {
  const all = addresses.map(nameOf).join(', ')
  if (kind === 'sentinels') return `${master} of sentinels ${all}`
  return kind === 'cluster' ? `cluster ${all}` : all
}

function toRedis(address: Address): RedisAddress {
  return address.kind === 'unix'
    ? { path: address.path }
    : { host: address.host ?? 'localhost', port: address.port }
}

const nameOf = (one: RedisAddress): string => ('path' in one ? `unix:${one.path}` : `${one.host}:${one.port}`)
