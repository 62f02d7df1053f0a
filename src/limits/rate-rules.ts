// The rate limits of one listener, for each of its connections: the buckets that a connection draws from, its
// own or those that it shares with its client or with the whole listener.

import { Bucket } from './bucket.ts'
import { localScopes } from './cells.ts'
import type { LimitScope, Scopes, Tokens } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'
import type { Connection, Direction, LimitAction, LimitName } from '../core/connection.ts'
import type { HalfRates, PairLimits, PairRates, Rate } from './meter.ts'
import type { MinRateOptions } from './min-rate.ts'
import { roomyBurst } from './token-queue.ts'
import type { TokenQueue } from './token-queue.ts'
import type { Clients } from './clients.ts'

export interface RateRule<Action extends LimitAction = 'delay' | 'close'> {
  perSec: number
  burst: number
  per: 'connection' | 'client' | 'listener'
  /** Which others of that kind share the bucket; `process` by default. */
  scope?: LimitScope
  onExceed: Action
  /** False: the limit only counts. */
  isEnforced: boolean
}

export interface RateRulesOptions {
  /** Null is off. */
  bytes: RateRule | null
  messages: RateRule<LimitAction> | null
  minRate: MinRateOptions | null
  /** The most that one read can bring, in bytes. */
  readBytes: number
}

export interface RateRulesContext {
  clock: Clock
  tokenQueue: TokenQueue
  /** The clients, whose buckets `per: client` uses; null where no rule needs them. */
  clients: Clients | null
  /** The cells that `per: listener` draws from; absent: cells of this gate alone. */
  scopes?: Scopes
  report: (limit: LimitName, action: LimitAction, isEnforced: boolean) => void
}

export class RateRules implements PairLimits {
  readonly clock: Clock
  readonly tokenQueue: TokenQueue
  readonly minRate: MinRateOptions | null
  readonly report: RateRulesContext['report']
  readonly #options: RateRulesOptions
  readonly #clients: Clients | null
  readonly #scopes: Scopes
  readonly #shared = new Map<string, Tokens>()

  constructor(
    options: RateRulesOptions,
    { clock, tokenQueue, clients, report, scopes = localScopes }: RateRulesContext,
  ) {
    this.clock = clock
    this.tokenQueue = tokenQueue
    this.minRate = options.minRate
    this.report = report
    this.#options = options
    this.#clients = clients
    this.#scopes = scopes
  }

  ratesOf(connection: Connection): PairRates | null {
    if (this.#options.bytes === null && this.#options.messages === null) return null
    return {
      toUpstream: this.#halfRates(connection, 'to_upstream'),
      toClient: this.#halfRates(connection, 'to_client'),
    }
  }

  #halfRates(connection: Connection, direction: Direction): HalfRates {
    const { bytes, messages } = this.#options
    return {
      bytes: bytes && this.#bytes(connection, direction, bytes),
      messages:
        messages && connection.protocol === 'websocket'
          ? this.#rate(connection, `messages ${direction}`, messages, 1)
          : null,
    }
  }

  /**
   * Null until the client of the bytes is known. The connection of a stream draws for the stream's bytes,
   * unless that connection serves many clients.
   */
  #bytes(connection: Connection, direction: Direction, rule: RateRule): Rate | null {
    const { namesClients, isCounted, session } = connection
    if (session !== null && !(rule.per === 'client' && namesClients)) return null
    if (rule.per === 'client' && namesClients && !isCounted) return null
    return this.#rate(connection, `bytes ${direction}`, rule, this.#options.readBytes)
  }

  #rate<Action extends LimitAction>(
    connection: Connection,
    name: string,
    rule: RateRule<Action>,
    needs: number,
  ): Rate<Action> {
    const { onExceed, isEnforced } = rule
    return { bucket: this.#bucket(connection, name, rule, needs), onExceed, isEnforced }
  }

  #bucket(
    { client }: Connection,
    name: string,
    { perSec, burst, per, onExceed, scope = 'process' }: RateRule<LimitAction>,
    needs: number,
  ): Tokens {
    const rate = { perSec, burst: onExceed === 'delay' ? roomyBurst(burst, perSec, needs) : burst }
    const now = this.clock.now()
    if (per === 'client') {
      const known = this.#clients?.of(client)
      if (known) return known.bucket(name, { ...rate, scope }, now)
    }
    if (per !== 'listener') return new Bucket(rate.perSec, rate.burst, now)
    const { cells, name: of } = this.#scopes[scope]
    let bucket = this.#shared.get(name)
    if (bucket === undefined) this.#shared.set(name, (bucket = cells.bucket(`${of} ${name}`, rate, now)))
    return bucket
  }
}
