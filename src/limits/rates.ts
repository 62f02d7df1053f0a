// The rate limits of one listener as its connections meet them: which buckets a connection draws from, its own or those that
// it shares with its client or with all of the listener.

import { Bucket } from './bucket.ts'
import type { Clock } from '../core/clock.ts'
import type { Connection, Direction, LimitAction, LimitName } from '../core/connection.ts'
import type { HalfRates, PairLimits, PairRates, Rate } from './meter.ts'
import type { MinRateOptions } from './min-rate.ts'
import { roomyBurst } from './pacer.ts'
import type { Pacer } from './pacer.ts'
import type { Clients } from './clients.ts'

export interface RateRule<Action extends LimitAction = 'delay' | 'close'> {
  perSec: number
  burst: number
  per: 'connection' | 'client' | 'listener'
  onExceed: Action
  /** False: only counted. */
  isEnforced: boolean
}

export interface RatesOptions {
  /** Null is off. */
  bytes: RateRule | null
  messages: RateRule<LimitAction> | null
  minRate: MinRateOptions | null
  /** What one read can bring. */
  readBytes: number
}

export interface RatesContext {
  clock: Clock
  pacer: Pacer
  /** Where the buckets of clients are; null where none are asked for. */
  clients: Clients | null
  report: (limit: LimitName, action: LimitAction, isEnforced: boolean) => void
}

export class Rates implements PairLimits {
  readonly clock: Clock
  readonly pacer: Pacer
  readonly minRate: MinRateOptions | null
  readonly report: RatesContext['report']
  readonly #options: RatesOptions
  readonly #clients: Clients | null
  readonly #shared = new Map<string, Bucket>()

  constructor(options: RatesOptions, { clock, pacer, clients, report }: RatesContext) {
    this.clock = clock
    this.pacer = pacer
    this.minRate = options.minRate
    this.report = report
    this.#options = options
    this.#clients = clients
  }

  ratesOf(connection: Connection): PairRates | null {
    if (this.#options.bytes === null && this.#options.messages === null) return null
    return { toUpstream: this.#halfRates(connection, 'to_upstream'), toClient: this.#halfRates(connection, 'to_client') }
  }

  #halfRates(connection: Connection, direction: Direction): HalfRates {
    const { bytes, messages, readBytes } = this.#options
    return {
      bytes: bytes && this.#rate(connection, `bytes ${direction}`, bytes, readBytes),
      messages: messages && connection.protocol === 'websocket' ? this.#rate(connection, `messages ${direction}`, messages, 1) : null,
    }
  }

  #rate<Action extends LimitAction>(connection: Connection, name: string, rule: RateRule<Action>, needs: number): Rate<Action> {
    const { onExceed, isEnforced } = rule
    return { bucket: this.#bucket(connection, name, rule, needs), onExceed, isEnforced }
  }

  #bucket({ clientAddress }: Connection, name: string, { perSec, burst, per, onExceed }: RateRule<LimitAction>, needs: number): Bucket {
    const make = (): Bucket => new Bucket(perSec, onExceed === 'delay' ? roomyBurst(burst, perSec, needs) : burst, this.clock.now())
    if (per === 'client') return this.#clients?.of(clientAddress)?.bucket(`${name} ${perSec} ${burst}`, make) ?? make()
    if (per === 'connection') return make()
    let bucket = this.#shared.get(name)
    if (bucket === undefined) this.#shared.set(name, (bucket = make()))
    return bucket
  }
}
