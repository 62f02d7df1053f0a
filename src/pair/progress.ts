// Whether a peer moves: what a sweep compares with the last one, and the closer look before a wait is held to be over.

import type { Endpoint } from '../endpoint/endpoint.ts'
import { PATIENT_SWEEPS } from '../endpoint/kernel-queue.ts'
import { raised } from '../core/log-counts.ts'
import { note } from '../core/timeline.ts'
import type { Connection } from '../core/connection.ts'
import type { Half } from './half.ts'

/** A slow reader may look stalled for longer; overload must not take it for one (it waits for twice this). */
export const MAX_UNSURE_MS = 1000

/**
 * Whether a wait that is due was looked at closely enough: Linux shows what a peer takes by thirds of a send buffer, a
 * megabyte on loopback, so a slow reader looks stalled. The kernel is asked from a quarter of the wait on; two answers are
 * compared, and the last must have been asked for when the wait was due (our own process may have stood still before).
 */
export class CloseLook {
  #movedAt = -1
  #before = 0
  #atDue: number | null = null
  #sweepsDue = 0
  /** Two answers of the kernel were compared, and nothing had moved. */
  isSure = false

  /** `movedAt` is when the wait began, `now` is in it; true once it may be ended. */
  isDue(sink: Endpoint, movedAt: number, ms: number, now: number): boolean {
    if (movedAt !== this.#movedAt) {
      this.#movedAt = movedAt
      this.#before = sink.measurements
      this.#atDue = null
      this.#sweepsDue = 0
    }
    this.isSure = sink.measurements >= this.#before + 2
    const quietMs = now - movedAt
    if (quietMs >= ms / 4) sink.measure()
    if (quietMs < ms) return false
    this.#atDue ??= sink.measurements
    // Every wait has a bound, also where the answers do not come.
    return (
      sink.measurements >= Math.max(this.#before + 2, this.#atDue + 1) || ++this.#sweepsDue > PATIENT_SWEEPS
    )
  }
}

/** One half as the last sweep saw it, and when it last moved. */
export class Progress {
  #activity = 0
  #taken = 0
  #owed = 0
  #received = 0
  #wasPaused = false
  #wasDelayed = false
  #messages = 0
  /** Data came from the source, or a slow sink took some, or a rate limit held it back. */
  activeAt: number
  /** Data came from the source, or it was not read: a source that we do not read cannot be blamed for its silence. */
  dataAt: number
  /** The sink took bytes, or was owed none. */
  lastDrainAt: number
  /** Anything came from the source, or it was not read. */
  receivedAt: number

  constructor(now: number) {
    this.activeAt = this.dataAt = this.lastDrainAt = this.receivedAt = now
  }

  /** `sinceMs` is the time since the last sweep of this pair. */
  observe(half: Half, now: number, sinceMs: number, connection: Connection): void {
    this.#watch(half, now, connection)
    this.notePace(half, now, sinceMs)
    if (half.activity !== this.#activity) this.activeAt = this.dataAt = now
    if (half.flow.received !== this.#received) this.receivedAt = now
    // One that was paused at the last sweep was resumed since: perhaps just now, and nothing was read yet.
    if (half.isPaused || this.#wasPaused) this.dataAt = this.receivedAt = now
    // The sink is not to blame either: what the limit delays is not idle.
    if (half.isDelayed || this.#wasDelayed) this.activeAt = now
    const unacked = half.sink.unacked
    const taken = half.flow.sent - unacked
    // It falls when `unacked` is looked at closer and turns out to be more; that is no progress.
    const hasTaken = taken > this.#taken
    if (hasTaken && connection.timeline?.isStalled(half.sink.side) === true)
      note(connection, 'went_on', now, half.sink.side)
    if (hasTaken && this.#owed !== 0) {
      this.activeAt = now
      half.flow.peaks = raised(half.flow.peaks, 3, now - this.lastDrainAt)
    }
    // Bytes that began to wait since the last sweep may have done so just now.
    if (hasTaken || this.#owed === 0) this.lastDrainAt = now
    this.#activity = half.activity
    this.#received = half.flow.received
    this.#wasPaused = half.isPaused
    this.#wasDelayed = half.isDelayed
    this.#taken = taken
    this.#owed = unacked
  }

  /** How fast and after how long: for whoever asks what its peers do. */
  notePace(half: Half, now: number, sinceMs: number): void {
    const { flow } = half
    if (flow.received === this.#received) return
    flow.peaks = raised(flow.peaks, 0, ((flow.received - this.#received) * 1000) / sinceMs)
    if (half.activity !== this.#activity) flow.peaks = raised(flow.peaks, 2, now - this.dataAt)
    if (flow.messages === this.#messages) return
    flow.peaks = raised(flow.peaks, 1, ((flow.messages - this.#messages) * 1000) / sinceMs)
    this.#messages = flow.messages
  }

  /** The other direction moved: its own source has been silent that long in a connection that is in use. */
  noteSilence({ flow }: Half, now: number): void {
    if (now > this.dataAt) flow.peaks = raised(flow.peaks, 2, now - this.dataAt)
  }

  /** A pause of a moment, as every write of TLS brings, is none: two sweeps in a row have to find it. */
  #watch({ isBackpressured, source: { side } }: Half, now: number, connection: Connection): void {
    const isKnown = connection.timeline?.isHeldBack(side) === true
    if (isBackpressured && this.#wasPaused && !isKnown) note(connection, 'held_back', now, side)
    else if (isKnown && !isBackpressured) note(connection, 'let_go', now, side)
  }
}

/** Whether one direction moves on its last way: its sink takes, as fine as the kernel tells, and (if that counts) its source sends. */
export class Motion {
  readonly #half: Half
  readonly #hasSource: boolean
  readonly #look = new CloseLook()
  #moved: number
  #movedAt: number

  constructor(half: Half, hasSource: boolean, now: number) {
    this.#half = half
    this.#hasSource = hasSource
    this.#moved = this.#count
    this.#movedAt = now
  }

  get #count(): number {
    const { flow, sink } = this.#half
    return flow.sent - sink.unacked + (this.#hasSource ? flow.received : 0)
  }

  /** The wait begins now. */
  restart(now: number): void {
    this.#moved = this.#count
    this.#movedAt = now
  }

  /** To be asked in each sweep: whether nothing has moved for `ms`, and that was looked at closely. */
  isOver(ms: number, now: number): boolean {
    const moved = this.#count
    // What a limit of ours delays is not still.
    if (moved > this.#moved || (this.#hasSource && this.#half.isDelayed)) this.#movedAt = now
    this.#moved = moved
    return this.#look.isDue(this.#half.sink, this.#movedAt, ms, now)
  }

  /** When something last moved, as the last look noticed. */
  get movedAt(): number {
    return this.#movedAt
  }

  /** The same, as far as that is sure: overload takes a peer that is still for a stalled one. */
  surelyMovedAt(now: number): number {
    return this.#look.isSure ? this.#movedAt : Math.max(this.#movedAt, now - MAX_UNSURE_MS)
  }
}
