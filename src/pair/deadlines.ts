// Every wait of an open pair has a bound, judged by progress, per side.
//
// Nothing is written down when bytes move: the relay counts them anyway, and a sweep compares the counters with those
// it saw last. A deadline therefore never fires early (progress is dated at the sweep that notices it, so late), and costs
// the hot path nothing.
//
// | deadline      | stops                                        | does not kill                                         |
// | write         | a reader that stopped, a peer that vanished   | a slow reader: every byte taken re-arms it            |
// |               | while being sent to                           |                                                       |
// | halfClose     | an upstream that ignores the end of its input | an answer that still flows after the client's FIN, or |
// |               |                                               | that is not read because the client is slow           |
// | idle          | a forgotten connection                        | one-way push: data either way re-arms it              |
// | clientIdle,   | one side that is silent while the other talks | a side that is not read because the other is slow     |
// | upstreamIdle  |                                               | nor one that has ended its half                       |
// | all but write |                                               | a side that a rate limit delays                       |
// | lifetime      | connections that never move to new pods       | -                                                     |
//
// The three idle ones are shortened while memory runs short (`Strain`), to a tenth at the most; one that is off stays off.
//
// Prior art: HAProxy's client-fin and tunnel timeouts, Envoy's per-connection idle and duration, Caddy's progress-based
// write deadline, pgbouncer's server_lifetime.

import type { Close, PeerSide } from '../core/close.ts'
import { makeClose } from '../core/close.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Live } from '../core/live.ts'
import { earliest } from '../core/wait.ts'
import type { NextDeadline } from '../core/wait.ts'
import type { Dialogue } from './dialogue.ts'
import type { Half } from './half.ts'
import { CloseLook, MAX_UNSURE_MS, Progress } from './progress.ts'
import type { Strain } from '../core/strain.ts'

/** Milliseconds; Infinity is off. */
export interface DeadlineOptions {
  idleMs: number
  clientIdleMs: number
  upstreamIdleMs: number
  writeMs: number
  halfCloseMs: number
  lifetimeMs: number
  /** Fraction by which a lifetime is shortened at the most, at random; the configured value stays a hard maximum. */
  lifetimeJitter: number
}

export class Deadlines {
  readonly #options: Live<DeadlineOptions>
  readonly #toUpstream: Progress
  readonly #toClient: Progress
  readonly #startedAt: number
  /** How much of the jitter is applied to the lifetime, 0..1. */
  readonly #jitter: number
  #halfClosedAt: number | null = null
  readonly #clientLook = new CloseLook()
  readonly #upstreamLook = new CloseLook()
  readonly #halfCloseLook = new CloseLook()

  /** `random` is 0..1 and decides the jitter. */
  constructor(options: Live<DeadlineOptions>, now: number, random: number) {
    this.#options = options
    this.#toUpstream = new Progress(now)
    this.#toClient = new Progress(now)
    this.#startedAt = now
    this.#jitter = random
  }

  /** When data last moved, as of the last check. */
  get activeAt(): number {
    return Math.max(this.#toUpstream.activeAt, this.#toClient.activeAt)
  }

  /** Notices progress, then returns the Close of the first deadline that is due, or null. */
  check(toUpstream: Half, toClient: Half, now: number, strain: Strain, dialogue: Dialogue | null = null): Close | null {
    if (strain.isWatching) lookCloser(toUpstream.sink, toClient.sink)
    this.#toUpstream.observe(toUpstream, now)
    this.#toClient.observe(toClient, now)
    return (
      this.#stalled(toClient, this.#toClient, this.#clientLook, now) ??
      this.#stalled(toUpstream, this.#toUpstream, this.#upstreamLook, now) ??
      this.#quiet(toUpstream, toClient, now, strain.idleScale, dialogue) ??
      this.#tooOld(now)
    )
  }

  #quiet(toUpstream: Half, toClient: Half, now: number, scale: number, dialogue: Dialogue | null): Close | null {
    if (dialogue?.judge !== undefined) return dialogue.judge(this.#toUpstream, this.#toClient, now, scale)
    return this.#halfClosed(toUpstream, toClient, now) ?? this.#idle(toUpstream, toClient, now, scale)
  }

  /** When that peer last took bytes of ours or was owed none, as the last sweep noticed, and as far as that is sure. */
  takenAt(side: PeerSide, now: number): number {
    const isClient = side === 'client'
    const { takenAt } = isClient ? this.#toClient : this.#toUpstream
    return (isClient ? this.#clientLook : this.#upstreamLook).isSure ? takenAt : Math.max(takenAt, now - MAX_UNSURE_MS)
  }

  /** The one that is due first if nothing moves any more; null where none of those that run is on. */
  next(toUpstream: Half, toClient: Half, dialogue: Dialogue | null = null): NextDeadline | null {
    const judgesItself = dialogue?.judge !== undefined
    return earliest([...this.#common(toUpstream, toClient), ...(judgesItself ? [] : this.#waits(toUpstream, toClient))])
  }

  #waits(toUpstream: Half, toClient: Half): (NextDeadline | null)[] {
    const { idleMs, clientIdleMs, upstreamIdleMs, halfCloseMs } = this.#options.current
    const isHalfClosed = toUpstream.hasEnded !== toClient.hasEnded
    const movedAt = this.#movedAt(toUpstream)
    return [
      isHalfClosed ? { key: 'deadlines.halfClose', reason: 'half_close_timeout', side: toUpstream.hasEnded ? 'upstream' : 'client', at: movedAt + halfCloseMs } : null,
      { key: 'deadlines.idle', reason: 'idle_timeout', side: 'sidegate', at: this.activeAt + idleMs },
      toUpstream.hasEnded ? null : { key: 'deadlines.clientIdle', reason: 'idle_timeout', side: 'client', at: this.#toUpstream.dataAt + clientIdleMs },
      toClient.hasEnded ? null : { key: 'deadlines.upstreamIdle', reason: 'idle_timeout', side: 'upstream', at: this.#toClient.dataAt + upstreamIdleMs },
    ]
  }

  /** Whatever is spoken. */
  #common(toUpstream: Half, toClient: Half): (NextDeadline | null)[] {
    const { writeMs } = this.#options.current
    return [
      toClient.sink.untaken > 0 ? { key: 'deadlines.write', reason: 'write_timeout', side: 'client', at: this.#toClient.takenAt + writeMs } : null,
      toUpstream.sink.untaken > 0 ? { key: 'deadlines.write', reason: 'write_timeout', side: 'upstream', at: this.#toUpstream.takenAt + writeMs } : null,
      { key: 'deadlines.lifetime', reason: 'lifetime_timeout', side: 'sidegate', at: expiresAt(this.#startedAt, this.#options.current, this.#jitter) },
    ]
  }

  #stalled({ sink }: Half, { takenAt }: Progress, look: CloseLook, now: number): Close | null {
    if (!look.isDue(sink, takenAt, this.#options.current.writeMs, now)) return null
    return makeClose('write_timeout', sink.side, 'relay', `took no bytes for ${seconds(now - takenAt)} (deadlines.write)`)
  }

  #halfClosed(toUpstream: Half, toClient: Half, now: number): Close | null {
    if (toUpstream.hasEnded === toClient.hasEnded) return null
    this.#halfClosedAt ??= now
    const side = toUpstream.hasEnded ? 'upstream' : 'client'
    const movedAt = this.#movedAt(toUpstream)
    const { sink } = toUpstream.hasEnded ? toUpstream : toClient
    if (!this.#halfCloseLook.isDue(sink, movedAt, this.#options.current.halfCloseMs, now)) return null
    return makeClose('half_close_timeout', side, 'relay', `nothing for ${seconds(now - movedAt)} after the other side ended (deadlines.halfClose)`)
  }

  /** When anything last moved after one side ended. */
  #movedAt(toUpstream: Half): number {
    const receivedAt = (toUpstream.hasEnded ? this.#toClient : this.#toUpstream).receivedAt
    // Both directions count: what the ended side had sent may still be on its way to a slow reader, and megabytes of it
    // wait in the kernel when our own queue is empty.
    return Math.max(this.#halfClosedAt ?? 0, receivedAt, this.activeAt)
  }

  #idle(toUpstream: Half, toClient: Half, now: number, scale: number): Close | null {
    const { idleMs, clientIdleMs, upstreamIdleMs } = this.#options.current
    const quietMs = now - this.activeAt
    const shortened = scale < 1 ? ', shortened by memory.shedAt' : ''
    if (quietMs >= idleMs * scale) return makeClose('idle_timeout', 'sidegate', 'relay', `no data for ${seconds(quietMs)} (deadlines.idle${shortened})`)
    // A side that has ended its half has nothing more to say; the other's half-close deadline bounds what follows.
    if (!toUpstream.hasEnded && now - this.#toUpstream.dataAt >= clientIdleMs * scale) return makeClose('idle_timeout', 'client', 'relay', `deadlines.clientIdle${shortened}`)
    if (!toClient.hasEnded && now - this.#toClient.dataAt >= upstreamIdleMs * scale) return makeClose('idle_timeout', 'upstream', 'relay', `deadlines.upstreamIdle${shortened}`)
    return null
  }

  #tooOld(now: number): Close | null {
    return now >= expiresAt(this.#startedAt, this.#options.current, this.#jitter) ? makeClose('lifetime_timeout', 'sidegate', 'relay', 'deadlines.lifetime') : null
  }
}

function lookCloser(...sinks: Endpoint[]): void {
  for (const sink of sinks) if (sink.queued > 0) sink.measure()
}

/** When a lifetime is over; `jitter` is 0..1. */
export function expiresAt(startedAt: number, options: Pick<DeadlineOptions, 'lifetimeMs' | 'lifetimeJitter'>, jitter: number): number {
  return startedAt + options.lifetimeMs * (1 - options.lifetimeJitter * jitter)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`
}
