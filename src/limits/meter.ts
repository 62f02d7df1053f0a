// The rate limits of one half: a meter draws tokens for the bytes that the source sends. It delays the half
// (its source is not read until its turn comes, so TCP's own flow control reaches the sender and nothing is
// lost), ends the pair, or only counts. A half without limits has no meter.
//
//     bytes     drawn for each read; delayed: the next read waits until the bucket holds a whole one
//     messages  drawn for each at its first byte; delayed: the rest of the read is held here until there is a
//               token, so that ten thousand messages of one read are no more than the burst. At most one read
//               is held. dropped (message mode): a message that begins without a token is dropped whole; a
//               fragment of a begun message draws what is there and goes on, and so does a ping or pong, but
//               of those only one a second without a token
//
// A limit spares a peer that keeps it in the mean: `burst` is the most that may come at once. While it is
// unknown whether there are tokens (a fleet was asked), a limit that ends or drops delays first.

import type { Tokens } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close, PeerSide } from '../core/close.ts'
import type { Connection, LimitAction, LimitName } from '../core/connection.ts'
import { limitWords } from '../core/limit-words.ts'
import type { MinRateOptions } from './min-rate.ts'
import { draw } from './observed.ts'
import type { TokenQueue, Waiter } from './token-queue.ts'

/** One rate limit in one direction. */
export interface Rate<Action extends LimitAction = 'delay' | 'close'> {
  bucket: Tokens
  onExceed: Action
  /** False: the limit only counts. */
  isEnforced: boolean
}

/** It is unknown so far whether the limit acts. */
function isUnsure({ onExceed, isEnforced, bucket }: Rate<LimitAction>): boolean {
  return isEnforced && onExceed !== 'delay' && bucket.isUnsure === true
}

/** Whether bytes or messages over the limit wait: by its action, or until it is known whether it acts. */
function delays(rate: Rate<LimitAction>): boolean {
  return (rate.isEnforced && rate.onExceed === 'delay') || isUnsure(rate)
}

export interface HalfRates {
  /** Bytes read from the source, a second. */
  bytes: Rate | null
  /** WebSocket messages, and frames that cost as much. */
  messages: Rate<LimitAction> | null
}

/** A heartbeat is no flood, whatever else its peer sends: in message mode one in this time needs no token. */
const HEARTBEAT_MS = 1000

/** The verdict on a beginning message, or on a control frame. */
export type Turn = 'pass' | 'drop' | 'stop'

export interface PairRates {
  toUpstream: HalfRates
  toClient: HalfRates
}

/** The limits of a listener, as its pairs use them. */
export interface PairLimits {
  clock: Clock
  tokenQueue: TokenQueue
  /** The buckets that this connection draws from, its own or shared ones; null where nothing is limited. */
  ratesOf(connection: Connection): PairRates | null
  minRate: MinRateOptions | null
  /** A limit acted, or would have if it were enforced. */
  report: (limit: LimitName, action: LimitAction, isEnforced: boolean) => void
}

/** The half of a pair that a meter draws for. */
export interface Metered {
  readonly source: { readonly side: PeerSide }
  /** Keeps `bytes[start..end)`, and relays them when `onTokens` is called. */
  keepRest(bytes: Buffer, start: number, end: number): void
  /** Its turn at the bucket has come. */
  onTokens(): void
  /** A limit acted on it, or would have: its key, and the action. */
  onLimited?(what: string): void
  /** A limit ends its pair. */
  end(close: Close): void
}

export class Meter implements Waiter {
  readonly #half: Metered
  #rates: HalfRates
  readonly #readBytes: number
  readonly #limits: PairLimits
  /** The bucket in whose queue the meter waits. */
  #waitsFor: Tokens | null = null
  #sparedAt = Number.NEGATIVE_INFINITY
  /** The most that the next read may bring, where that is known to be less than a whole read. */
  expected = Number.POSITIVE_INFINITY
  /** Bytes that came before it was known which bucket they draw from. */
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

  /** The key of the limit for whose tokens it waits; null while it waits for none. */
  get delayedBy(): string | null {
    if (this.#waitsFor === null) return null
    return this.#waitsFor === this.#rates.messages?.bucket ? 'limits.messages' : 'limits.bytes'
  }

  get countsMessages(): boolean {
    return this.#rates.messages !== null
  }

  get needs(): number {
    const { bytes, messages } = this.#rates
    const isForMessages = this.#waitsFor === messages?.bucket
    const rate = isForMessages ? messages : bytes!
    // The fleet has answered by now, and the limit acts at this turn.
    if (!delays(rate)) return Number.NEGATIVE_INFINITY
    return isForMessages ? 1 : rate.onExceed === 'delay' ? this.#nextBytes : 0
  }

  get #nextBytes(): number {
    return Math.min(this.#readBytes, this.expected)
  }

  /** Draws for a read; returns false if the limit ends the pair, and the read may not go on. */
  takeBytes(length: number): boolean {
    const rate = this.#rates.bytes
    if (rate === null) {
      this.#undrawn += length
      return true
    }
    const now = this.#limits.clock.now()
    const isDelayed = rate.onExceed === 'delay' && rate.isEnforced
    if (!isDelayed && draw(rate, length, now)) return true
    if (isDelayed || isUnsure(rate)) {
      rate.bucket.spend(length, now)
      return true
    }
    this.#report('bytes', rate.onExceed, rate.isEnforced)
    if (!rate.isEnforced) return true
    this.#end('limits.bytes', rate)
    return false
  }

  /**
   * Draws for a beginning message, which is `isDroppable`, or for a fragment that costs as much. After `stop`
   * the caller calls `onMessagesOver`.
   */
  takeMessage(isDroppable: boolean): Turn {
    const rate = this.#rates.messages
    if (rate === null || draw(rate, 1, this.#limits.clock.now())) return 'pass'
    if (isUnsure(rate)) return 'stop'
    return rate.onExceed === 'drop' && !isDroppable ? 'pass' : this.#exceed(rate)
  }

  /** Draws for a ping or a pong. */
  takeControl(): Turn {
    const rate = this.#rates.messages
    const now = this.#limits.clock.now()
    if (rate === null || draw(rate, 1, now)) return 'pass'
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

  /** `bytes[start..end)` begin with a message that may not go on yet: they are kept until it may. */
  onMessagesOver(bytes: Buffer, start: number, end: number): void {
    const rate = this.#rates.messages!
    if (!delays(rate)) return this.#end('limits.messages', rate)
    this.#half.keepRest(bytes, start, end)
    this.#wait(rate.bucket)
  }

  /** Whether the source may be read; if not, the half's `onTokens` is called when it is time to ask again. */
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

  /**
   * Draws from other buckets from now on and leaves the old queue; bytes that came before their client was
   * known draw now.
   */
  drawFrom(rates: HalfRates): void {
    if (this.#waitsFor !== null) this.#limits.tokenQueue.leave(this.#waitsFor, this)
    this.#waitsFor = null
    this.#rates = rates
    const undrawn = this.#undrawn
    this.#undrawn = 0
    if (rates.bytes !== null && undrawn > 0) this.takeBytes(undrawn)
  }

  /** The pair ends: the meter waits for nothing any more. */
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

  #end(key: string, { bucket }: Rate<LimitAction>): void {
    this.#half.end(makeClose('rate_limited', this.#half.source.side, 'relay', limitWords(key, bucket)))
  }
}
