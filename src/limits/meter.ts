// What the rate limits say of one half: it draws for what the source sends, and either delays the half (its source is not
// read until its turn comes, so that TCP's own flow control reaches the sender and nothing is lost), ends the pair, or only
// counts. A half without limits has no meter.
//
//     bytes     drawn for each read; delayed: the next read waits until the bucket holds a whole one
//     messages  drawn for each at its first byte; delayed: the rest of the read is held here until there is a token,
//               so that ten thousand messages of one read are no more than the burst. At most one read is held.
//               dropped (message mode): one that begins without a token goes no further, whole; what has begun draws
//               what is there and goes on, and so does a ping or pong, but of those only one a second without a token
//
// A limit spares who keeps it in the mean: `burst` is what may come at once.

import type { Bucket } from './bucket.ts'
import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Connection, LimitAction, LimitName } from '../core/connection.ts'
import type { Half } from '../pair/half.ts'
import type { MinRateOptions } from './min-rate.ts'
import type { Pacer, Waiter } from './pacer.ts'

/** One rate limit in one direction. */
export interface Rate<Action extends LimitAction = 'delay' | 'close'> {
  bucket: Bucket
  onExceed: Action
  /** False: only counted. */
  isEnforced: boolean
}

export interface HalfRates {
  /** Per second: bytes read from the source. */
  bytes: Rate | null
  /** WebSocket messages, and frames that cost as much. */
  messages: Rate<LimitAction> | null
}

/** A heartbeat is no flood, whatever else its peer sends: in message mode one in so many milliseconds needs no token. */
const HEARTBEAT_MS = 1000

/** What becomes of a message that begins, or of a control frame. */
export type Turn = 'pass' | 'drop' | 'stop'

export interface PairRates {
  toUpstream: HalfRates
  toClient: HalfRates
}

/** What the limits of a listener are for its pairs. */
export interface PairLimits {
  clock: Clock
  pacer: Pacer
  /** The buckets that this connection draws from, its own or those that it shares; null where nothing is limited. */
  ratesOf(connection: Connection): PairRates | null
  minRate: MinRateOptions | null
  /** A limit acted, or would have if it were enforced. */
  report: (limit: LimitName, action: LimitAction, isEnforced: boolean) => void
}

/** Who owns the half: the pair. */
export interface MeterOwner {
  close(close: Close): void
  /** The half's turn has come. */
  onTurn(half: Half): void
}

export class Meter implements Waiter {
  readonly #half: Half
  readonly #rates: HalfRates
  readonly #readBytes: number
  readonly #limits: PairLimits
  readonly #owner: MeterOwner
  /** What it is queued up for. */
  #waitsFor: Bucket | null = null
  #sparedAt = Number.NEGATIVE_INFINITY
  /** What the next read may bring, where that is known to be less than a whole one. */
  expected = Number.POSITIVE_INFINITY
  #isGone = false

  constructor(half: Half, rates: HalfRates, readBytes: number, limits: PairLimits, owner: MeterOwner) {
    this.#half = half
    this.#rates = rates
    this.#readBytes = readBytes
    this.#limits = limits
    this.#owner = owner
  }

  get isWaiting(): boolean {
    return this.#waitsFor !== null
  }

  get countsMessages(): boolean {
    return this.#rates.messages !== null
  }

  get needs(): number {
    return this.#waitsFor === this.#rates.messages?.bucket ? 1 : this.#nextBytes
  }

  get #nextBytes(): number {
    return Math.min(this.#readBytes, this.expected)
  }

  /** Draws for a read; false if it may not go on, since the pair ends with it. */
  takeBytes(length: number): boolean {
    const rate = this.#rates.bytes
    if (rate === null) return true
    const now = this.#limits.clock.now()
    if (rate.onExceed === 'delay' && rate.isEnforced) {
      rate.bucket.spend(length, now)
      return true
    }
    if (rate.bucket.take(length, now)) return true
    this.#limits.report('bytes', rate.onExceed, rate.isEnforced)
    if (!rate.isEnforced) return true
    this.#end('limits.bytes')
    return false
  }

  /** Draws for a message that begins, which is `isDroppable`, or for a fragment that costs as much. `stop`: see `onMessagesOver`. */
  takeMessage(isDroppable: boolean): Turn {
    const rate = this.#rates.messages
    if (rate === null || rate.bucket.take(1, this.#limits.clock.now())) return 'pass'
    return rate.onExceed === 'drop' && !isDroppable ? 'pass' : this.#exceed(rate)
  }

  /** Draws for a ping or a pong. */
  takeControl(): Turn {
    const rate = this.#rates.messages
    const now = this.#limits.clock.now()
    if (rate === null || rate.bucket.take(1, now)) return 'pass'
    if (rate.onExceed !== 'drop' || now - this.#sparedAt < HEARTBEAT_MS) return this.#exceed(rate)
    this.#sparedAt = now
    return 'pass'
  }

  #exceed({ onExceed, isEnforced }: Rate<LimitAction>): Turn {
    this.#limits.report('messages', onExceed, isEnforced)
    if (!isEnforced) return 'pass'
    return onExceed === 'drop' ? 'drop' : 'stop'
  }

  /** A message was not let on: `bytes[start..end)`, which begin with it, are kept until there is a token. */
  onMessagesOver(bytes: Buffer, start: number, end: number): void {
    const { bucket, onExceed } = this.#rates.messages!
    if (onExceed === 'close') return this.#end('limits.messages')
    this.#half.keepRest(bytes, start, end)
    this.#wait(bucket)
  }

  /** Whether the source may be read; if not, `onTurn` of the owner is called when it is worth asking again. */
  mayRead(): boolean {
    if (this.#waitsFor !== null) return false
    const rate = this.#rates.bytes
    if (rate === null || rate.onExceed !== 'delay' || !rate.isEnforced) return true
    if (this.#isGone || rate.bucket.has(this.#nextBytes, this.#limits.clock.now())) return true
    this.#limits.report('bytes', 'delay', true)
    this.#wait(rate.bucket)
    return false
  }

  onTurn(): number {
    const isForBytes = this.#waitsFor === this.#rates.bytes?.bucket
    this.#waitsFor = null
    this.#owner.onTurn(this.#half)
    return isForBytes ? this.#nextBytes : 0
  }

  /** The pair ends: it waits for nothing any more. */
  leave(): void {
    this.#isGone = true
    if (this.#waitsFor !== null) this.#limits.pacer.leave(this.#waitsFor, this)
    this.#waitsFor = null
  }

  #wait(bucket: Bucket): void {
    if (this.#isGone) return
    this.#waitsFor = bucket
    this.#limits.pacer.wait(bucket, this)
  }

  #end(key: string): void {
    this.#owner.close(makeClose('rate_limited', this.#half.source.side, 'relay', key))
  }
}
