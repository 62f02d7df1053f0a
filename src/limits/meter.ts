// The rate limits of one half: a meter draws for the bytes that the source sends, and either delays the half (its source is not
// read until its turn comes, so that TCP's own flow control reaches the sender and nothing is lost), ends the pair, or only
// counts. A half without limits has no meter.
//
//     bytes     drawn for each read; delayed: the next read waits until the bucket holds a whole one
//     messages  drawn for each at its first byte; delayed: the rest of the read is held here until there is a token,
//               so that ten thousand messages of one read are no more than the burst. At most one read is held.
//               dropped (message mode): one that begins without a token goes no further, whole; what has begun draws
//               what is there and goes on, and so does a ping or pong, but of those only one a second without a token
//
// A limit spares a peer that keeps it in the mean: `burst` is the most that may come at once. And where it is not known yet whether there
// are tokens (a fleet is asked), one that ends or drops what is over delays first.

import type { Tokens } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close, PeerSide } from '../core/close.ts'
import type { Connection, LimitAction, LimitName } from '../core/connection.ts'
import type { MinRateOptions } from './min-rate.ts'
import type { TokenQueue, Waiter } from './token-queue.ts'

/** One rate limit in one direction. */
export interface Rate<Action extends LimitAction = 'delay' | 'close'> {
  bucket: Tokens
  onExceed: Action
  /** False: only counted. */
  isEnforced: boolean
}

/** It is not known yet whether the limit acts. */
function isUnsure({ onExceed, isEnforced, bucket }: Rate<LimitAction>): boolean {
  return isEnforced && onExceed !== 'delay' && bucket.isUnsure === true
}

/** What is over the limit waits: by its action, or until that is known. */
function delays(rate: Rate<LimitAction>): boolean {
  return (rate.isEnforced && rate.onExceed === 'delay') || isUnsure(rate)
}

export interface HalfRates {
  /** Per second: bytes read from the source. */
  bytes: Rate | null
  /** WebSocket messages, and frames that cost as much. */
  messages: Rate<LimitAction> | null
}

/** A heartbeat is no flood, whatever else its peer sends: in message mode one in so many milliseconds needs no token. */
const HEARTBEAT_MS = 1000

/** The verdict on a message that begins, or on a control frame. */
export type Turn = 'pass' | 'drop' | 'stop'

export interface PairRates {
  toUpstream: HalfRates
  toClient: HalfRates
}

/** The limits of a listener, as its pairs use them. */
export interface PairLimits {
  clock: Clock
  tokenQueue: TokenQueue
  /** The buckets that this connection draws from, its own or those that it shares; null where nothing is limited. */
  ratesOf(connection: Connection): PairRates | null
  minRate: MinRateOptions | null
  /** A limit acted, or would have if it were enforced. */
  report: (limit: LimitName, action: LimitAction, isEnforced: boolean) => void
}

/** The half of a pair that a meter draws for. */
export interface Metered {
  readonly source: { readonly side: PeerSide }
  /** Keeps `bytes[start..end)`, to relay them when `onTokens` is called. */
  keepRest(bytes: Buffer, start: number, end: number): void
  /** Its turn at the bucket has come. */
  onTokens(): void
  /** A limit acted on it, or would have: its key, and what was done. */
  onLimited?(what: string): void
  /** A limit ends its pair. */
  end(close: Close): void
}

export class Meter implements Waiter {
  readonly #half: Metered
  #rates: HalfRates
  readonly #readBytes: number
  readonly #limits: PairLimits
  /** The bucket that it is queued up at. */
  #waitsFor: Tokens | null = null
  #sparedAt = Number.NEGATIVE_INFINITY
  /** The most that the next read may bring, where that is known to be less than a whole one. */
  expected = Number.POSITIVE_INFINITY
  /** Bytes that came before it was known what they draw from. */
  #undrawn = 0
  #isGone = false

  constructor(half: Metered, rates: HalfRates, readBytes: number, limits: PairLimits) {
    this.#half = half
    this.#rates = rates
    this.#readBytes = readBytes
    this.#limits = limits
  }

  get isWaiting(): boolean {
    return this.#waitsFor !== null
  }

  get countsMessages(): boolean {
    return this.#rates.messages !== null
  }

  get needs(): number {
    const { bytes, messages } = this.#rates
    const isForMessages = this.#waitsFor === messages?.bucket
    const rate = isForMessages ? messages : bytes!
    // It is known by now, and acts with its turn.
    if (!delays(rate)) return Number.NEGATIVE_INFINITY
    return isForMessages ? 1 : rate.onExceed === 'delay' ? this.#nextBytes : 0
  }

  get #nextBytes(): number {
    return Math.min(this.#readBytes, this.expected)
  }

  /** Draws for a read; false if it may not go on, since the pair ends with it. */
  takeBytes(length: number): boolean {
    const rate = this.#rates.bytes
    if (rate === null) {
      this.#undrawn += length
      return true
    }
    const now = this.#limits.clock.now()
    const isDelayed = rate.onExceed === 'delay' && rate.isEnforced
    if (!isDelayed && rate.bucket.take(length, now)) return true
    if (isDelayed || isUnsure(rate)) {
      rate.bucket.spend(length, now)
      return true
    }
    this.#report('bytes', rate.onExceed, rate.isEnforced)
    if (!rate.isEnforced) return true
    this.#end('limits.bytes')
    return false
  }

  /** Draws for a message that begins, which is `isDroppable`, or for a fragment that costs as much. `stop`: see `onMessagesOver`. */
  takeMessage(isDroppable: boolean): Turn {
    const rate = this.#rates.messages
    if (rate === null || rate.bucket.take(1, this.#limits.clock.now())) return 'pass'
    if (isUnsure(rate)) return 'stop'
    return rate.onExceed === 'drop' && !isDroppable ? 'pass' : this.#exceed(rate)
  }

  /** Draws for a ping or a pong. */
  takeControl(): Turn {
    const rate = this.#rates.messages
    const now = this.#limits.clock.now()
    if (rate === null || rate.bucket.take(1, now)) return 'pass'
    if (isUnsure(rate)) return 'stop'
    if (rate.onExceed !== 'drop' || now - this.#sparedAt < HEARTBEAT_MS) return this.#exceed(rate)
    this.#sparedAt = now
    return 'pass'
  }

  #exceed({ onExceed, isEnforced }: Rate<LimitAction>): Turn {
    this.#report('messages', onExceed, isEnforced)
    if (!isEnforced) return 'pass'
    return onExceed === 'drop' ? 'drop' : 'stop'
  }

  /** A message was not let on: `bytes[start..end)`, which begin with it, are kept until there is a token. */
  onMessagesOver(bytes: Buffer, start: number, end: number): void {
    const rate = this.#rates.messages!
    if (!delays(rate)) return this.#end('limits.messages')
    this.#half.keepRest(bytes, start, end)
    this.#wait(rate.bucket)
  }

  /** Whether the source may be read; if not, the half's `onTokens` is called when it is worth asking again. */
  mayRead(): boolean {
    if (this.#waitsFor !== null) return false
    const rate = this.#rates.bytes
    if (rate === null || !delays(rate)) return true
    const needed = rate.onExceed === 'delay' ? this.#nextBytes : 0
    if (this.#isGone || rate.bucket.has(needed, this.#limits.clock.now())) return true
    if (rate.onExceed === 'delay') this.#report('bytes', 'delay', true)
    this.#wait(rate.bucket)
    return false
  }

  onTurn(): number {
    const isForBytes = this.#waitsFor === this.#rates.bytes?.bucket
    this.#waitsFor = null
    this.#half.onTokens()
    return isForBytes ? this.#nextBytes : 0
  }

  /** It draws from others from here on, waits at none of those before, and what had come before anybody was known for it draws now. */
  drawFrom(rates: HalfRates): void {
    if (this.#waitsFor !== null) this.#limits.tokenQueue.leave(this.#waitsFor, this)
    this.#waitsFor = null
    this.#rates = rates
    const undrawn = this.#undrawn
    this.#undrawn = 0
    if (rates.bytes !== null && undrawn > 0) this.takeBytes(undrawn)
  }

  /** The pair ends: it waits for nothing any more. */
  leave(): void {
    this.#isGone = true
    if (this.#waitsFor !== null) this.#limits.tokenQueue.leave(this.#waitsFor, this)
    this.#waitsFor = null
  }

  #report(limit: 'bytes' | 'messages', action: LimitAction, isEnforced: boolean): void {
    this.#limits.report(limit, action, isEnforced)
    this.#half.onLimited?.(`limits.${limit}, ${isEnforced ? action : 'only observed'}`)
  }

  #wait(bucket: Tokens): void {
    if (this.#isGone) return
    this.#waitsFor = bucket
    this.#limits.tokenQueue.wait(bucket, this)
  }

  #end(key: string): void {
    this.#half.end(makeClose('rate_limited', this.#half.source.side, 'relay', key))
  }
}
