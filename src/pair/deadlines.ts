// Deadlines of an open pair: every wait has a bound, judged by progress, per side.
//
// The relay counts bytes anyway, and a sweep compares the counters with those it saw last; nothing else is
// written down when bytes move. A deadline therefore never fires early (progress is dated at the sweep that
// notices it, so late), and costs the hot path nothing.
//
// | deadline      | stops                                         | does not kill                                     |
// | write         | a reader that stopped, a peer that vanished   | a slow reader: every byte taken re-arms it        |
// |               | while being sent to                           |                                                   |
// | halfClose     | an upstream that ignores the end of its input | an answer flowing on after the client's FIN, or   |
// |               |                                               | that is not read because the client is slow       |
// | idle          | a forgotten connection                        | one-way push: data either way re-arms it          |
// | clientIdle,   | one side that is silent while the other talks | a side that is not read because the other is slow |
// | upstreamIdle  |                                               | nor one that has ended its half                   |
// | all but write |                                               | a side that a rate limit delays                   |
// | lifetime      | connections that never move to new pods       | -                                                 |
//
// The three idle deadlines are shortened while memory runs short (`Strain`), to a tenth at the most; one that
// is off stays off.
//
// Prior art: HAProxy's client-fin and tunnel timeouts, Envoy's per-connection idle and duration, Caddy's
// progress-based write deadline, pgbouncer's server_lifetime.

import type { Close, PeerSide } from '../core/close.ts'
import { makeClose } from '../core/close.ts'
import { SWEEP_MS } from '../core/clock.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Connection } from '../core/connection.ts'
import type { Live } from '../core/live.ts'
import { raised } from '../core/log-counts.ts'
import { note } from '../core/timeline.ts'
import { earliest } from '../core/wait.ts'
import type { Bound, NextDeadline } from '../core/wait.ts'
import type { Dialogue } from './dialogue.ts'
import type { Half } from './half.ts'
import { areStill, CloseLook, MAX_UNSURE_MS, Progress } from './progress.ts'
import type { Strain } from '../core/strain.ts'

/** Milliseconds; Infinity is off. */
export interface DeadlineOptions {
  idleMs: number
  clientIdleMs: number
  upstreamIdleMs: number
  writeMs: number
  halfCloseMs: number
  lifetimeMs: number
  /** The largest fraction by which chance shortens a lifetime; the configured value stays a hard maximum. */
  lifetimeJitter: number
}

const NEVER = Number.POSITIVE_INFINITY

/** The close reason of each deadline. `check` compares the same moments that `next` shows. */
const bounds = {
  write: { key: 'deadlines.write', reason: 'write_timeout' },
  idle: { key: 'deadlines.idle', reason: 'idle_timeout', side: 'sidegate' },
  clientIdle: { key: 'deadlines.clientIdle', reason: 'idle_timeout', side: 'client' },
  upstreamIdle: { key: 'deadlines.upstreamIdle', reason: 'idle_timeout', side: 'upstream' },
  lifetime: { key: 'deadlines.lifetime', reason: 'lifetime_timeout', side: 'sidegate' },
} as const

/** Data that comes after this fraction of the idle deadline is worth a line in the timeline. */
const NEAR = 0.75

export class Deadlines {
  readonly #options: Live<DeadlineOptions>
  readonly #connection: Connection
  readonly #toUpstream: Progress
  readonly #toClient: Progress
  readonly #startedAt: number
  #checkedAt: number
  /** The fraction of the jitter that is applied to the lifetime, 0..1. */
  readonly #jitter: number
  #halfClosedAt: number | null = null
  readonly #clientLook = new CloseLook()
  readonly #upstreamLook = new CloseLook()
  /** Made once a side has ended. */
  #halfCloseLook: CloseLook | null = null

  /** `random`, 0..1, decides the jitter. */
  constructor(options: Live<DeadlineOptions>, connection: Connection, now: number, random: number) {
    this.#options = options
    this.#connection = connection
    this.#toUpstream = new Progress(now)
    this.#toClient = new Progress(now)
    this.#startedAt = this.#checkedAt = now
    this.#jitter = random
  }

  /** When data last moved, as of the last check. */
  get activeAt(): number {
    return Math.max(this.#toUpstream.activeAt, this.#toClient.activeAt)
  }

  /** Notices progress, then returns the Close of the first deadline that is due, or null. */
  // oxlint-disable-next-line eslint/max-params -- asked of each pair in each sweep, without an object
  check(
    toUpstream: Half,
    toClient: Half,
    now: number,
    strain: Strain,
    dialogue: Dialogue | null = null,
  ): Close | null {
    if (strain.isWatching) lookCloser(toUpstream.sink, toClient.sink)
    const movedAt = this.activeAt
    const sinceMs = this.#sinceLast(now)
    this.#checkedAt = now
    this.#toUpstream.observe(toUpstream, now, sinceMs, this.#connection)
    this.#toClient.observe(toClient, now, sinceMs, this.#connection)
    this.#notePeaks(toUpstream.sink, toClient.sink)
    if (this.activeAt !== movedAt) {
      this.#onMoved(this.activeAt - movedAt, now)
      // The connection is in use, so the silence of a side that only listens counts as well.
      this.#toUpstream.noteSilence(toUpstream, now)
      this.#toClient.noteSilence(toClient, now)
    }
    return (
      this.#stalled(toClient, this.#toClient, this.#clientLook, now) ??
      this.#stalled(toUpstream, this.#toUpstream, this.#upstreamLook, now) ??
      this.#quiet(toUpstream, toClient, now, strain.idleScale, dialogue) ??
      this.#tooOld(now)
    )
  }

  /** At the end: counts what moved since the last sweep too, since many connections last no longer. */
  conclude(toUpstream: Half, toClient: Half, now: number): void {
    const sinceMs = Math.max(SWEEP_MS, this.#sinceLast(now))
    this.#toUpstream.notePace(toUpstream, now, sinceMs)
    this.#toClient.notePace(toClient, now, sinceMs)
  }

  /** The first sweep may come right after the start: earlier bytes are not the pace of a millisecond. */
  #sinceLast(now: number): number {
    const sinceMs = now - this.#checkedAt
    return this.#checkedAt === this.#startedAt ? Math.max(SWEEP_MS, sinceMs) : Math.max(1, sinceMs)
  }

  #notePeaks(upstream: Endpoint, client: Endpoint): void {
    const connection = this.#connection
    if (client.queued > 0) connection.peaks = raised(connection.peaks, 2, client.queued)
    if (upstream.queued > 0) connection.peaks = raised(connection.peaks, 3, upstream.queued)
  }

  /** Something moved, perhaps shortly before the idle deadline would have ended the connection. */
  #onMoved(quietMs: number, now: number): void {
    const connection = this.#connection
    connection.peaks = raised(connection.peaks, 0, quietMs)
    if (this.#halfClosedAt !== null) connection.peaks = raised(connection.peaks, 1, quietMs)
    if (quietMs < NEAR * this.#options.current.idleMs) return
    note(this.#connection, 'quiet', now, `for ${seconds(quietMs)} (deadlines.idle)`)
  }

  // oxlint-disable-next-line eslint/max-params -- asked of each pair in each sweep, without an object
  #quiet(
    toUpstream: Half,
    toClient: Half,
    now: number,
    scale: number,
    dialogue: Dialogue | null,
  ): Close | null {
    if (dialogue?.judge !== undefined) return dialogue.judge(this.#toUpstream, this.#toClient, now, scale)
    return (
      this.#halfClosed(toUpstream, toClient, now) ?? this.#idle(toUpstream, toClient, now, scale, dialogue)
    )
  }

  /**
   * When that peer last took bytes of ours or was owed none, as the last sweep noticed; at most MAX_UNSURE_MS
   * ago until a close look makes it sure.
   */
  lastDrainAt(side: PeerSide, now: number): number {
    const isClient = side === 'client'
    const { lastDrainAt } = isClient ? this.#toClient : this.#toUpstream
    return (isClient ? this.#clientLook : this.#upstreamLook).isSure
      ? lastDrainAt
      : Math.max(lastDrainAt, now - MAX_UNSURE_MS)
  }

  /** The deadline that comes due first if nothing moves any more; null where none is running. */
  next(
    toUpstream: Half,
    toClient: Half,
    strain: Strain,
    dialogue: Dialogue | null = null,
  ): NextDeadline | null {
    const scale = strain.idleScale
    const quiet: NextDeadline[] =
      dialogue?.judge !== undefined
        ? []
        : [
            { ...halfCloseBound(toUpstream), at: this.#halfCloseAt(toUpstream, toClient) },
            { ...bounds.idle, at: this.#idleAt(scale) },
            { ...bounds.clientIdle, at: this.#clientIdleAt(toUpstream, scale, dialogue) },
            { ...bounds.upstreamIdle, at: this.#upstreamIdleAt(toClient, scale, dialogue) },
          ]
    return earliest([
      { ...bounds.write, side: 'client', at: this.#writeAt(toClient, this.#toClient) },
      { ...bounds.write, side: 'upstream', at: this.#writeAt(toUpstream, this.#toUpstream) },
      { ...bounds.lifetime, at: this.#expiresAt },
      ...quiet,
    ])
  }

  #writeAt({ sink }: Half, { lastDrainAt }: Progress): number {
    return sink.unacked > 0 ? lastDrainAt + this.#options.current.writeMs : NEVER
  }

  #halfCloseAt(toUpstream: Half, toClient: Half): number {
    return toUpstream.hasEnded === toClient.hasEnded
      ? NEVER
      : this.#movedAt(toUpstream) + this.#options.current.halfCloseMs
  }

  #idleAt(scale: number): number {
    return this.activeAt + this.#options.current.idleMs * scale
  }

  #clientIdleAt(toUpstream: Half, scale: number, dialogue: Dialogue | null): number {
    if (hasSaidAll(toUpstream, dialogue)) return NEVER
    return this.#toUpstream.dataAt + this.#options.current.clientIdleMs * scale
  }

  #upstreamIdleAt(toClient: Half, scale: number, dialogue: Dialogue | null): number {
    if (hasSaidAll(toClient, dialogue)) return NEVER
    return this.#toClient.dataAt + this.#options.current.upstreamIdleMs * scale
  }

  get #expiresAt(): number {
    const { lifetimeMs, lifetimeJitter } = this.#options.current
    return this.#startedAt + lifetimeMs * (1 - lifetimeJitter * this.#jitter)
  }

  #stalled({ sink }: Half, { lastDrainAt }: Progress, look: CloseLook, now: number): Close | null {
    const { writeMs } = this.#options.current
    if (!look.isDue(sink, lastDrainAt, writeMs, now)) {
      if (look.isSure && now - lastDrainAt >= writeMs / 2)
        note(this.#connection, 'stalled', lastDrainAt, sink.side)
      return null
    }
    return over({ ...bounds.write, side: sink.side }, `took no bytes for ${seconds(now - lastDrainAt)}`)
  }

  #halfClosed(toUpstream: Half, toClient: Half, now: number): Close | null {
    if (toUpstream.hasEnded === toClient.hasEnded) return null
    this.#halfClosedAt ??= now
    const movedAt = this.#movedAt(toUpstream)
    const { sink } = toUpstream.hasEnded ? toUpstream : toClient
    this.#halfCloseLook ??= new CloseLook()
    if (!this.#halfCloseLook.isDue(sink, movedAt, this.#options.current.halfCloseMs, now)) return null
    return over(
      halfCloseBound(toUpstream),
      `nothing for ${seconds(now - movedAt)} after the other side ended`,
    )
  }

  /** When anything last moved after one side ended. */
  #movedAt(toUpstream: Half): number {
    const receivedAt = (toUpstream.hasEnded ? this.#toClient : this.#toUpstream).receivedAt
    // Both directions count: the last bytes of the ended side may still be on their way to a slow reader, and
    // megabytes of them wait in the kernel when our own queue is empty.
    return Math.max(this.#halfClosedAt ?? 0, receivedAt, this.activeAt)
  }

  // oxlint-disable-next-line eslint/max-params -- asked of each pair in each sweep, without an object
  #idle(
    toUpstream: Half,
    toClient: Half,
    now: number,
    scale: number,
    dialogue: Dialogue | null,
  ): Close | null {
    const how = scale < 1 ? ', shortened by memory.shedAt' : ''
    const idleMs = this.#options.current.idleMs * scale
    if (areStill(this.#toUpstream, this.#toClient, this.activeAt, idleMs, now))
      return over(bounds.idle, `no data for ${seconds(now - this.activeAt)}`, how)
    if (now >= this.#clientIdleAt(toUpstream, scale, dialogue))
      return over(bounds.clientIdle, `no data for ${seconds(now - this.#toUpstream.dataAt)}`, how)
    if (now >= this.#upstreamIdleAt(toClient, scale, dialogue))
      return over(bounds.upstreamIdle, `no data for ${seconds(now - this.#toClient.dataAt)}`, how)
    return null
  }

  #tooOld(now: number): Close | null {
    return now >= this.#expiresAt
      ? makeClose('lifetime_timeout', 'sidegate', 'relay', bounds.lifetime.key)
      : null
  }
}

function lookCloser(...sinks: Endpoint[]): void {
  for (const sink of sinks) if (sink.queued > 0) sink.measure()
}

/**
 * Its source has nothing more to say: what the other side still does has bounds of its own (`halfClose`,
 * `close`).
 */
function hasSaidAll(half: Half, dialogue: Dialogue | null): boolean {
  return half.hasEnded || dialogue?.hasSaidAll?.(half) === true
}

/** The bound of the side that has not ended, after the other has. */
function halfCloseBound(toUpstream: Half): Bound {
  return {
    key: 'deadlines.halfClose',
    reason: 'half_close_timeout',
    side: toUpstream.hasEnded ? 'upstream' : 'client',
  }
}

function over({ key, reason, side }: Bound, detail: string, how = ''): Close {
  return makeClose(reason, side, 'relay', `${detail} (${key}${how})`)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`
}
