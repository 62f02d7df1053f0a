// `limits.minRate`: a peer that owes something, or is owed something, and hardly moves ends with too_slow.
// Deadlines are judged by progress, and a byte a minute is progress: by it a trickle holds a connection, a
// worker and its buffers for ever.
//
// | side   | judged while                             | does not kill                                               |
// | owing  | its WebSocket message, request or answer | an idle peer; one that is not read (delayed, or the other   |
// |        | is begun and not complete                | side is slow); opaque bytes, which owe nothing              |
// | taking | bytes are queued for it                  | a reader whose kernel shows progress in large steps: we ask |
// |        |                                          | the kernel before we judge; a stream that waits for its     |
// |        |                                          | connection, which is judged itself                          |
//
// Without a dialogue, which knows what is owed, only the taking side is judged. `MeanRate` judges the mean
// since the start, and only after `afterMs`. Time in which our own process stood still does not count. Prior
// art: Apache's mod_reqtimeout (MinRate), Kestrel's MinRequestBodyDataRate, pingora's min_send_rate.

import { SWEEP_MS } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close, PeerSide } from '../core/close.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { LookPatience } from '../endpoint/look-patience.ts'
import { earliest } from '../core/wait.ts'
import type { NextDeadline } from '../core/wait.ts'
import type { Flow } from '../core/connection.ts'

export interface MinRateOptions {
  bytesPerSec: number
  /** Milliseconds from the start during which nothing is judged. */
  afterMs: number
  /** False: the limit only counts. */
  isEnforced: boolean
}

/** The mean rate of something since it began, compared with the least rate. */
class MeanRate {
  #since: number | null = null
  #from = 0
  #seenAt = 0

  /** Nothing is owed, or the next thing has just begun. */
  stop(): void {
    this.#since = null
  }

  get isRunning(): boolean {
    return this.#since !== null
  }

  /** When it becomes too slow if nothing moves; Infinity if nothing is owed. `moved` is a total of bytes. */
  dueAt({ bytesPerSec, afterMs }: MinRateOptions, moved: number): number {
    return this.#since === null
      ? Number.POSITIVE_INFINITY
      : this.#since + Math.max(afterMs, ((moved - this.#from) * 1000) / bytesPerSec)
  }

  /** True if too slow. `moved` is a total of bytes; `isExcused`: it could not move since the last look. */
  isTooSlow(
    { bytesPerSec, afterMs }: MinRateOptions,
    moved: number,
    isExcused: boolean,
    now: number,
  ): boolean {
    if (this.#since === null) {
      this.#since = this.#seenAt = now
      this.#from = moved
      return false
    }
    const gapMs = now - this.#seenAt
    this.#since += isExcused ? gapMs : Math.max(0, gapMs - 2 * SWEEP_MS)
    this.#seenAt = now
    // What is taken never becomes less: the start was counted while the kernel's part was not known.
    if (moved < this.#from) {
      this.#since = now
      this.#from = moved
    }
    const ms = now - this.#since
    return ms >= afterMs && (moved - this.#from) * 1000 < bytesPerSec * ms
  }
}

/** The part of an endpoint that shows how fast its peer drains it. */
export type Drainable = Pick<Endpoint, 'queued' | 'unacked' | 'measure' | 'measurements'>

/** The bytes that were sent and that the peer has not taken. */
const left = ({ queued, unacked }: Drainable): number => (unacked === 0 ? queued : unacked)

/** The rate at which one peer takes what is queued for it. */
export class DrainRate {
  readonly #pace = new MeanRate()
  /** How many looks into the kernel had come back when the next was asked for; null while none is needed. */
  #askedAt: number | null = null
  #patience: LookPatience | null = null

  isTooSlow(options: MinRateOptions, sink: Drainable, sent: number, now: number): boolean {
    if (sink.queued === 0) {
      this.#pace.stop()
      this.#askedAt = null
      return false
    }
    // All later looks are compared with the first: bytes already in the kernel when the wait began were not
    // taken.
    if (!this.#pace.isRunning && !this.#hasLooked(sink, now)) return false
    // Bytes that are queued and not unacked wait for their carrier.
    const isExcused = sink.unacked === 0
    if (this.#pace.isTooSlow(options, sent - left(sink), isExcused, now)) return this.#hasLooked(sink, now)
    this.#askedAt = null
    return false
  }

  dueAt(options: MinRateOptions, sink: Drainable, sent: number): number {
    return this.#pace.dueAt(options, sent - left(sink))
  }

  /** Whether a look has come back that was asked for after `#askedAt` was null; asks again if not. */
  #hasLooked(sink: Drainable, now: number): boolean {
    if (this.#askedAt === null) {
      this.#askedAt = sink.measurements
      this.#patience = null
    }
    if (sink.measurements > this.#askedAt) return true
    sink.measure()
    if (sink.measurements === Number.POSITIVE_INFINITY) return true
    return (this.#patience ??= new LookPatience()).isOver(now)
  }
}

/** One direction of a pair, as far as its rate is judged. */
export interface RatedHalf {
  readonly isPaused: boolean
  /** Of `flow.received`, those that pay no debt: pings and pongs between the parts of a message. */
  readonly controlBytes: number
  readonly flow: Pick<Flow, 'messages' | 'received' | 'sent'>
  readonly source: { readonly side: PeerSide }
  readonly sink: Drainable & { readonly side: PeerSide }
}

/** Both directions; the endpoint at the end of a direction may change. */
export interface RatedPair {
  readonly toUpstream: RatedHalf
  readonly toClient: RatedHalf
}

/** The bytes that the source has sent of what it owes. */
const paid = ({ flow, controlBytes }: RatedHalf): number => flow.received - controlBytes

/** The rates of one half: its source may owe, its sink may be owed. */
class HalfRate {
  readonly #owing = new MeanRate()
  readonly #taking = new DrainRate()
  #messages = 0
  #wasPaused = false

  check(options: MinRateOptions, half: RatedHalf, isOwing: boolean, now: number): PeerSide | null {
    const isExcused = half.isPaused || this.#wasPaused
    this.#wasPaused = half.isPaused
    // The message is another one than at the last look: a peer that completes messages is not slow.
    if (!isOwing || half.flow.messages !== this.#messages) this.#owing.stop()
    this.#messages = half.flow.messages
    if (isOwing && this.#owing.isTooSlow(options, paid(half), isExcused, now)) return half.source.side
    return this.#taking.isTooSlow(options, half.sink, half.flow.sent, now) ? half.sink.side : null
  }

  next(options: MinRateOptions, half: RatedHalf): NextDeadline | null {
    const { source, sink, flow } = half
    const owing = minRateDeadline(options, source.side, this.#owing.dueAt(options, paid(half)))
    return earliest([
      owing,
      minRateDeadline(options, sink.side, this.#taking.dueAt(options, sink, flow.sent)),
    ])
  }
}

/** The least rate as a deadline, to be listed among the others; null where it only counts. */
function minRateDeadline({ isEnforced }: MinRateOptions, side: PeerSide, at: number): NextDeadline | null {
  return isEnforced ? { key: 'limits.minRate', reason: 'too_slow', side, at } : null
}

/** The least rate of both halves of a pair. */
export class MinRate {
  readonly #options: MinRateOptions
  readonly #pair: RatedPair
  readonly #toUpstream = new HalfRate()
  readonly #toClient = new HalfRate()
  readonly #report: () => void
  #hasReported = false

  /** `report` is called once, when the pair is too slow. */
  constructor(options: MinRateOptions, pair: RatedPair, report: () => void) {
    this.#options = options
    this.#pair = pair
    this.#report = report
  }

  /** Called in each sweep, with the sides that owe something according to the dialogue. */
  check(isClientOwing: boolean, isUpstreamOwing: boolean, now: number): Close | null {
    const { toUpstream, toClient } = this.#pair
    const side =
      this.#toUpstream.check(this.#options, toUpstream, isClientOwing, now) ??
      this.#toClient.check(this.#options, toClient, isUpstreamOwing, now)
    if (side === null) return null
    if (!this.#hasReported) this.#report()
    this.#hasReported = true
    return this.#options.isEnforced ? tooSlow(side) : null
  }

  /** When a peer becomes too slow if nothing moves, as of the last check; null while nothing is owed. */
  next(): NextDeadline | null {
    return earliest([
      this.#toUpstream.next(this.#options, this.#pair.toUpstream),
      this.#toClient.next(this.#options, this.#pair.toClient),
    ])
  }
}

export function tooSlow(side: PeerSide): Close {
  return makeClose('too_slow', side, 'relay', 'limits.minRate')
}
