// The waits of a client's connection, beside those of its socket, which the pair judges, and those of its
// streams, which the engine judges:
//
// | the preface, and SETTINGS   | deadlines.handshake | -: bytes that trickle do not extend it               |
// | the rest of a head          | deadlines.handshake | one that we do not read; nothing else can come then  |
// | a stream                    | http.keepAlive      | a connection with one                                |
// | its window, with streams    | deadlines.write,    | window-wait.ts; a stream whose own window is shut:   |
// | that wait for it            | limits.minRate      | only that stream ends                                |
// | the answer to a PING        | websocket.ping      | a client that sends anything, or has much to take    |

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { earliest } from '../core/wait.ts'
import type { NextDeadline, Wait } from '../core/wait.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Half } from '../pair/half.ts'
import type { Http2Context, Http2Options } from './options.ts'
import type { SessionFrames } from './session-frames.ts'
import { SessionPings } from './session-pings.ts'
import type { PingRules } from './session-pings.ts'
import { WindowWait } from './window-wait.ts'
import type { WaitingStream } from './window-wait.ts'

export class SessionWaits {
  readonly #options: Http2Options
  readonly #frames: Pick<SessionFrames, 'headSince'>
  readonly #openedAt: number
  readonly #window: WindowWait
  readonly #pings: SessionPings
  hasSettings = false
  /** When the last stream ended. */
  restSince: number

  constructor(
    options: Http2Options,
    frames: Pick<SessionFrames, 'flow' | 'headSince'>,
    openedAt: number,
    { clock, limits }: Pick<Http2Context, 'clock' | 'limits'>,
  ) {
    const now = clock.now()
    this.#options = options
    this.#frames = frames
    this.#openedAt = openedAt
    this.restSince = now
    this.#window = new WindowWait(frames.flow, limits, now)
    this.#pings = new SessionPings(() => pingsOf(options), now)
  }

  /** When the client last took bytes that wait for its window, or none waited, as the last sweep saw it. */
  get lastDrainAt(): number {
    return this.#window.lastDrainAt
  }

  /** `sink` is the client's socket. */
  forWindow(streams: Iterable<WaitingStream>, sink: Endpoint, now: number): Close | null {
    return this.#window.check(streams, sink, this.#options.deadlines.current.writeMs, now)
  }

  /** `ask` sends a PING, and calls back at its answer. */
  vanished(
    toUpstream: Half,
    isAsked: boolean,
    now: number,
    ask: (answered: () => void) => void,
  ): Close | null {
    const step = this.#pings.sweep(toUpstream.flow.received, isAsked, now)
    if (step === 'ask') ask(() => this.#pings.onAnswered(now))
    return step === 'gone' ? makeClose('ping_timeout', 'client', 'relay', 'no answer to a PING') : null
  }

  judge(streams: number, scale: number, now: number): Close | null {
    const next = this.#next(streams, scale)
    if (next === null || now < next.at) return null
    if (next.reason === 'eof')
      return makeClose('eof', 'sidegate', 'relay', 'no further request (http.keepAlive)')
    const what = this.hasSettings ? 'the rest of a head' : 'no SETTINGS'
    return makeClose('handshake_timeout', 'client', 'handshake', `${what} (deadlines.handshake)`)
  }

  #next(streams: number, scale: number): NextDeadline | null {
    const { deadlines, keepAliveMs } = this.#options
    const since = this.hasSettings ? this.#frames.headSince : this.#openedAt
    if (since !== null)
      return {
        key: 'deadlines.handshake',
        reason: 'handshake_timeout',
        side: 'client',
        at: since + deadlines.current.handshakeMs,
      }
    if (streams > 0) return null
    return {
      key: 'http.keepAlive',
      reason: 'eof',
      side: 'sidegate',
      at: this.restSince + keepAliveMs * scale,
    }
  }

  describe(streams: number): Omit<Wait, 'state'> {
    if (this.hasSettings && this.#frames.headSince !== null)
      return { waitsFor: 'the rest of the head of a request', next: earliest([this.#next(streams, 1)]) }
    const waitsFor = streams === 0 ? 'the next request' : streams === 1 ? 'a stream' : `${streams} streams`
    return { waitsFor, next: earliest([this.#next(streams, 1)]) }
  }
}

function pingsOf({ deadlines }: Http2Options): PingRules {
  const { to, ...rules } = deadlines.current.ping
  return to === 'upstream' ? { ...rules, intervalMs: Number.POSITIVE_INFINITY } : rules
}
