// Every wait of an open pair has a bound, judged by progress, per side.
//
// Nothing is written down when bytes move: the relay counts them anyway, and a sweep compares the counters with those
// it saw last. A deadline therefore never fires early (progress is dated at the sweep that notices it, so late), and costs
// the hot path nothing.
//
// | deadline      | stops                                        | does not kill                                         |
// | write         | a reader that stopped, a peer that vanished   | a slow reader: every byte taken re-arms it            |
// |               | while being sent to                           |                                                       |
// | halfClose     | an upstream that ignores the end of its input | an answer that still flows after the client's FIN     |
// | idle          | a forgotten connection                        | one-way push: data either way re-arms it              |
// | clientIdle,   | one side that is silent while the other talks | a side that is not read because the other is slow     |
// | upstreamIdle  |                                               |                                                       |
// | lifetime      | connections that never move to new pods       | -                                                     |
//
// Prior art: HAProxy's client-fin and tunnel timeouts, Envoy's per-connection idle and duration, Caddy's progress-based
// write deadline, pgbouncer's server_lifetime.

import type { Close, PeerSide } from '../close.ts'
import { makeClose } from '../close.ts'
import type { Half } from './half.ts'

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

/** What was seen of one half at the last sweep, and when it last moved. */
class Progress {
  #activity = 0
  #taken = 0
  #owed = 0
  #received = 0
  /** Data came from the source, or a slow sink took some. */
  activeAt: number
  /** As above for the source alone; a source that we do not read cannot be blamed for its silence. */
  dataAt: number
  /** The sink took bytes, or was owed none. */
  takenAt: number
  /** Anything came from the source. */
  receivedAt: number

  constructor(now: number) {
    this.activeAt = this.dataAt = this.takenAt = this.receivedAt = now
  }

  observe(half: Half, now: number): void {
    if (half.activity !== this.#activity) this.activeAt = this.dataAt = now
    if (half.isPaused) this.dataAt = now
    if (half.flow.received !== this.#received) this.receivedAt = now
    const untaken = half.sink.untaken
    const taken = half.flow.sent - untaken
    const hasTaken = taken !== this.#taken
    if (hasTaken && this.#owed !== 0) this.activeAt = now
    if (hasTaken || untaken === 0) this.takenAt = now
    this.#activity = half.activity
    this.#received = half.flow.received
    this.#taken = taken
    this.#owed = untaken
  }
}

export class Deadlines {
  readonly #options: DeadlineOptions
  readonly #toUpstream: Progress
  readonly #toClient: Progress
  readonly #expiresAt: number
  #halfClosedAt: number | null = null

  /** `random` is 0..1 and decides the jitter. */
  constructor(options: DeadlineOptions, now: number, random: number) {
    this.#options = options
    this.#toUpstream = new Progress(now)
    this.#toClient = new Progress(now)
    this.#expiresAt = now + options.lifetimeMs * (1 - options.lifetimeJitter * random)
  }

  /** Notices progress, then returns the Close of the first deadline that is due, or null. */
  check(toUpstream: Half, toClient: Half, now: number): Close | null {
    this.#toUpstream.observe(toUpstream, now)
    this.#toClient.observe(toClient, now)
    return (
      this.#stalled('client', this.#toClient, now) ??
      this.#stalled('upstream', this.#toUpstream, now) ??
      this.#halfClosed(toUpstream, toClient, now) ??
      this.#idle(now) ??
      this.#tooOld(now)
    )
  }

  #stalled(side: PeerSide, toSide: Progress, now: number): Close | null {
    if (now - toSide.takenAt < this.#options.writeMs) return null
    return makeClose('write_timeout', side, 'relay', `took no bytes for ${seconds(now - toSide.takenAt)} (deadlines.write)`)
  }

  #halfClosed(toUpstream: Half, toClient: Half, now: number): Close | null {
    if (toUpstream.hasEnded === toClient.hasEnded) return null
    this.#halfClosedAt ??= now
    const side = toUpstream.hasEnded ? 'upstream' : 'client'
    const receivedAt = (toUpstream.hasEnded ? this.#toClient : this.#toUpstream).receivedAt
    // Both directions count: what the ended side had sent may still be on its way to a slow reader.
    const quietMs = now - Math.max(this.#halfClosedAt, receivedAt, this.#toUpstream.activeAt, this.#toClient.activeAt)
    if (quietMs < this.#options.halfCloseMs) return null
    return makeClose('half_close_timeout', side, 'relay', `nothing for ${seconds(quietMs)} after the other side ended (deadlines.halfClose)`)
  }

  #idle(now: number): Close | null {
    const { idleMs, clientIdleMs, upstreamIdleMs } = this.#options
    const quietMs = now - Math.max(this.#toUpstream.activeAt, this.#toClient.activeAt)
    if (quietMs >= idleMs) return makeClose('idle_timeout', 'sidegate', 'relay', `no data for ${seconds(quietMs)} (deadlines.idle)`)
    if (now - this.#toUpstream.dataAt >= clientIdleMs) return makeClose('idle_timeout', 'client', 'relay', 'deadlines.clientIdle')
    if (now - this.#toClient.dataAt >= upstreamIdleMs) return makeClose('idle_timeout', 'upstream', 'relay', 'deadlines.upstreamIdle')
    return null
  }

  #tooOld(now: number): Close | null {
    return now >= this.#expiresAt ? makeClose('lifetime_timeout', 'sidegate', 'relay', 'deadlines.lifetime') : null
  }
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)}s`
}
