// The progress of a peer: the counters that a sweep compares with the last one's, and the closer look before
// a wait counts as over.

import type { Endpoint } from '../endpoint/endpoint.ts'
import { LookPatience } from '../endpoint/look-patience.ts'
import { raised } from '../core/log-counts.ts'
import { note } from '../core/timeline.ts'
import type { Connection } from '../core/connection.ts'
import type { Watched } from './dialogue.ts'
import type { Half } from './half.ts'

/** A slow reader may look stalled for longer; overload, which waits for twice this, must not end it. */
export const MAX_UNSURE_MS = 1000

/**
 * Whether a due wait was looked at closely enough. Linux shows a peer's progress by thirds of a send buffer,
 * a megabyte on loopback, so a slow reader looks stalled. From a quarter of the wait on we ask the kernel; we
 * compare two answers, and ask for the last one when the wait is due (our own process may have stood still
 * before).
 */
export class CloseLook {
  #movedAt = -1
  #before = 0
  #atDue: number | null = null
  #patience: LookPatience | null = null
  /** We compared two answers of the kernel, and nothing had moved. */
  isSure = false

  /** `movedAt`: when the wait began; `now`: the present moment of it. Returns true once the wait may end. */
  isDue(sink: Endpoint, movedAt: number, ms: number, now: number): boolean {
    if (movedAt !== this.#movedAt) {
      this.#movedAt = movedAt
      this.#before = sink.measurements
      this.#atDue = null
      this.#patience = null
    }
    this.isSure = sink.measurements >= this.#before + 2
    const quietMs = now - movedAt
    if (quietMs >= ms / 4) sink.measure()
    if (quietMs < ms) return false
    this.#atDue ??= sink.measurements
    // Every wait keeps its bound, also where the answers do not come.
    if (sink.measurements >= Math.max(this.#before + 2, this.#atDue + 1)) return true
    return (this.#patience ??= new LookPatience()).isOver(now)
  }
}

/**
 * Bytes beyond the data that a look may find not taken: a few control frames, each in a TLS record of its own
 * (22 bytes more, RFC 8446 section 5.2). The kernel of every peer has room for as many.
 */
const CONTROL_BYTES = 1024

/** The bytes that the peer at the end of a half takes, from one sweep to the next. */
class Taking {
  #taken = 0
  #owed = 0
  #queued = 0
  /**
   * Where in `flow.sent` the data ends: pings and pongs follow, and a peer that takes those takes no data.
   */
  #dataEnd = 0
  #activity = 0
  /** For a stream: the same among the bytes of its carrier, and how far the carrier's peer has come. */
  #carriedEnd = 0
  #carriedTo = 0
  /** The peer took bytes since the last sweep. */
  hasTaken = false
  /** Those were owed to it at the last sweep, and data, at least the first of them. */
  hasTakenData = false
  /** Bytes were owed to it at the last sweep. */
  wasOwed = false

  look({ sink, flow, activity }: Half): void {
    const { unacked, queued } = sink
    const taken = flow.sent - unacked
    // `taken` falls when a closer look finds more `unacked`; that is no progress.
    this.hasTaken = taken > this.#taken
    this.wasOwed = this.#owed !== 0
    this.hasTakenData = this.hasTaken && this.wasOwed && this.#isData(flow.sent)
    // A compressed message grows when its turn comes, so what is sent while some is queued counts as data.
    const isAtEnd = activity !== this.#activity || queued > 0 || this.#queued > 0
    if (isAtEnd) this.#dataEnd = flow.sent
    if (sink.sentTo !== undefined) this.#lookAtCarrier(sink.sentTo, sink.carrier!.takenTo!, isAtEnd)
    this.#activity = activity
    this.#queued = queued
    this.#taken = taken
    this.#owed = unacked
    // Bytes that only the kernel holds count from a look on, and nothing but the next look shows that the
    // peer took them.
    if (unacked > 0 && queued === 0) sink.measure()
    if (queued > 0) sink.checkPeer?.()
  }

  /** The carrier's peer came nearer to the stream's data, perhaps through bytes of other streams. */
  #lookAtCarrier(sentTo: number, takenTo: number, isAtEnd: boolean): void {
    const allowance = sentTo === this.#carriedEnd ? 0 : CONTROL_BYTES
    this.hasTakenData ||= takenTo > this.#carriedTo && this.#carriedTo < this.#carriedEnd - allowance
    if (isAtEnd) this.#carriedEnd = sentTo
    this.#carriedTo = takenTo
  }

  #isData(sent: number): boolean {
    return this.#queued > 0 || sent === this.#dataEnd || this.#taken < this.#dataEnd - CONTROL_BYTES
  }
}

/** One half as the last sweep saw it, and when it last moved. */
export class Progress extends Taking implements Watched {
  #activity = 0
  #received = 0
  #wasPaused = false
  #wasDelayed = false
  #messages = 0
  #sink: Endpoint | null = null
  /** Made once the pair is about to be idle. */
  #idleLook: CloseLook | null = null
  /** Data came from the source, a slow sink took some, or a rate limit held it back. */
  activeAt: number
  /** Data came from the source, or we did not read it: then its silence is not its fault. */
  dataAt: number
  /** The sink took bytes, or was owed none. */
  lastDrainAt: number
  /** Anything came from the source, or we did not read it. */
  receivedAt: number

  constructor(now: number) {
    super()
    this.activeAt = this.dataAt = this.lastDrainAt = this.receivedAt = now
  }

  /** `sinceMs` is the time since the last sweep of this pair. */
  observe(half: Half, now: number, sinceMs: number, connection: Connection): void {
    this.#watch(half, now, connection)
    this.notePace(half, now, sinceMs)
    if (half.activity !== this.#activity) this.activeAt = this.dataAt = now
    if (half.flow.received !== this.#received) this.receivedAt = now
    // A source paused at the last sweep was resumed since: perhaps just now, and nothing is read yet.
    if (half.isPaused || this.#wasPaused) this.dataAt = this.receivedAt = now
    // The sink is not to blame either: bytes that a limit delays are not idle.
    if (half.isDelayed || this.#wasDelayed) this.activeAt = now
    this.#observeSink(half, now, connection)
    this.#activity = half.activity
    this.#received = half.flow.received
    this.#wasPaused = half.isPaused
    this.#wasDelayed = half.isDelayed
  }

  #observeSink(half: Half, now: number, connection: Connection): void {
    this.look(half)
    this.#sink = half.sink
    if (this.hasTaken && connection.timeline?.isStalled(half.sink.side) === true)
      note(connection, 'went_on', now, half.sink.side)
    if (this.hasTakenData) this.activeAt = now
    if (this.hasTaken && this.wasOwed) half.flow.peaks = raised(half.flow.peaks, 3, now - this.lastDrainAt)
    // Bytes that began to wait since the last sweep may have begun just now.
    if (this.hasTaken || !this.wasOwed) this.lastDrainAt = now
  }

  /** Raises the flow's peaks: how fast the source sends, and after how long a silence. */
  notePace(half: Half, now: number, sinceMs: number): void {
    const { flow } = half
    if (flow.received === this.#received) return
    flow.peaks = raised(flow.peaks, 0, ((flow.received - this.#received) * 1000) / sinceMs)
    if (half.activity !== this.#activity) flow.peaks = raised(flow.peaks, 2, now - this.dataAt)
    if (flow.messages === this.#messages) return
    flow.peaks = raised(flow.peaks, 1, ((flow.messages - this.#messages) * 1000) / sinceMs)
    this.#messages = flow.messages
  }

  isStill(since: number, ms: number, now: number): boolean {
    return (this.#idleLook ??= new CloseLook()).isDue(this.#sink!, since, ms, now)
  }

  /** The other direction moved: this source has been silent that long in a connection that is in use. */
  noteSilence({ flow }: Half, now: number): void {
    if (now > this.dataAt) flow.peaks = raised(flow.peaks, 2, now - this.dataAt)
  }

  /** Notes a pause that two sweeps in a row find: shorter ones come with every write of TLS. */
  #watch({ isBackpressured, source: { side } }: Half, now: number, connection: Connection): void {
    const isKnown = connection.timeline?.isHeldBack(side) === true
    if (isBackpressured && this.#wasPaused && !isKnown) note(connection, 'held_back', now, side)
    else if (isKnown && !isBackpressured) note(connection, 'let_go', now, side)
  }
}

/**
 * So long before a pair is idle its peers are looked at closer: one that takes a byte a second is seen to.
 */
const LOOK_AHEAD_MS = 5000

/**
 * Whether neither peer has taken, for that long, what the kernel holds for it: all that was sent may be
 * there, megabytes, and a slow reader looks idle. The kernel is asked only where a pair is about to end for
 * it.
 */
// oxlint-disable-next-line eslint/max-params -- asked of each pair in each sweep, without an object
export function areStill(one: Watched, other: Watched, since: number, ms: number, now: number): boolean {
  if (now < since + ms - Math.min(ms / 4, LOOK_AHEAD_MS)) return false
  const isOneStill = one.isStill(since, ms, now)
  return other.isStill(since, ms, now) && isOneStill
}

/**
 * Whether one direction moves at its end: its sink takes bytes, by the kernel's finest count; or (with
 * `hasSource`, while both sides still talk) its source sends data, or its sink takes some.
 */
export class Motion {
  readonly #half: Half
  readonly #hasSource: boolean
  readonly #look = new CloseLook()
  readonly #taking = new Taking()
  #activity: number
  #movedAt: number

  constructor(half: Half, hasSource: boolean, now: number) {
    this.#half = half
    this.#hasSource = hasSource
    this.#taking.look(half)
    this.#activity = half.activity
    this.#movedAt = now
  }

  restart(now: number): void {
    this.#taking.look(this.#half)
    this.#activity = this.#half.activity
    this.#movedAt = now
  }

  /** Called in each sweep: whether nothing has moved for `ms`, and a close look has confirmed it. */
  isOver(ms: number, now: number): boolean {
    if (this.#hasMoved()) this.#movedAt = now
    return this.#look.isDue(this.#half.sink, this.#movedAt, ms, now)
  }

  #hasMoved(): boolean {
    const { activity, isDelayed } = this.#half
    this.#taking.look(this.#half)
    if (!this.#hasSource) return this.#taking.hasTaken
    const hasSent = activity !== this.#activity
    this.#activity = activity
    // Bytes that a limit of ours delays do not stand still. Pings and pongs are no data, either way.
    return hasSent || isDelayed || this.#taking.hasTakenData
  }

  /** When something last moved, as the last look noticed. */
  get movedAt(): number {
    return this.#movedAt
  }

  /** The same, at most MAX_UNSURE_MS ago until a close look makes it sure: overload ends stalled peers. */
  surelyMovedAt(now: number): number {
    return this.#look.isSure ? this.#movedAt : Math.max(this.#movedAt, now - MAX_UNSURE_MS)
  }
}
