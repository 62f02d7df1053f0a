// The budgets of a client in frames that are cheap to send and costly to serve. Each HTTP/2 connection of a
// client has its own; it judges incoming frames, and watches outgoing ones.
//
//     frame in  -> takes a token of its budget; none left: the connection ends, rate_limited, GOAWAY ENHANCE_YOUR_CALM
//     time, and useful work (requests opened, answers ended, DATA either way) -> tokens back, up to the burst
//
// So a budget bounds waste in proportion to work, not work: a client that does ten times as much may ping,
// cancel and open windows ten times as often. A burst is what a client without any work may do at once. What
// each budget stops, what it spares and where its numbers come from:
//
// budget      stops                                      spares
// resets      rapid reset (CVE-2023-44487): a request,   a page that is left cancels all its streams (100,
//             and its RST_STREAM in the same packet      `http.maxStreams`) twice over: one answer pays for one
//                                                        cancel. A stream that is answered already, or as old as
//                                                        100 ms, costs nothing, a younger one its part of a token:
//                                                        it has kept its place (`http.maxStreams`) for as long as
//                                                        one that is served. So callers give up a service that
//                                                        hangs, and watchers leave, as often as they like. 33/s
//                                                        is nghttp2's; 200: Netty (in 30 s); Envoy 500 of < 1 s
// made        made you reset (CVE-2025-8671): frames     an application that sends forbidden frames: one in
//             that make us send RST_STREAM, so that      eleven of its requests; streams opened before our
//             no one counts them                         SETTINGS came (REFUSED_STREAM). 200 and 6.7/s: Netty
// settings    CVE-2019-9515: each needs an ACK           windows that grow with the measured bandwidth (gRPC):
//                                                        8 doublings. nghttp2 keeps at most 1000 ACKs
// pings       CVE-2019-9512: each needs an answer        keep-alive; gRPC's bandwidth probe, one for each round
//                                                        trip in which DATA moved. 128/s: Jetty 12 (RateControl)
// empty       CVE-2019-9518: DATA, HEADERS or            gRPC ends a call by one, which counts as work, since it
//             CONTINUATION that carry nothing and        ends something. Envoy 1 in a row, Netty 2 in a row; here
//             end nothing                                other frames in between do not make it free
// windows     WINDOW_UPDATE for nothing                  all that acknowledge bytes of ours, for the stream and for
//                                                        the connection: gRPC does so message by message, of which
//                                                        hundreds come in one DATA frame. Beside those, 10 for
//                                                        each DATA frame, as Envoy
// dribbles    CVE-2019-9511: shut windows opened by a    readers that acknowledge each small message, and gRPC
//             few bytes, each of which makes us send a   (C++, Python, Ruby, PHP), which opens each stream by the
//             frame                                      5 bytes of a message's head: their windows are wide open
// priorities  CVE-2019-9513, also PRIORITY_UPDATE        Firefox: 6 at the start and 1 for each stream, Chromium 1
//                                                        for each stream. Envoy: 100 for each stream
// others      unknown frames, GOAWAY, unsolicited        greasing browsers: one for each request, and trailers,
//             ACKs, HEADERS on closed streams            which their requests pay for; RFC 9113 section 4.1 wants
//                                                        unknown frames ignored
//
// A header block has its own bound of bytes and of frames (CVE-2024-27316, CVE-2024-28182 and the like:
// CONTINUATION without end). nghttp2 has one too, at 8 frames; here it has a close reason.

import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import { ENHANCE_YOUR_CALM, h2Fault, PROTOCOL_ERROR } from './fault.ts'
import type { ClientFlow } from './flow.ts'
import * as frames from './frame-scanner.ts'
import type { Frame, FrameJudge } from './frame-scanner.ts'

interface Budget {
  burst: number
  perSecond: number
  /** The frames, in the detail of the Close. */
  words: string
}

export const budgets = {
  resets: { burst: 200, perSecond: 33, words: 'streams cancelled' },
  made: { burst: 200, perSecond: 6.7, words: 'streams that had to be reset' },
  settings: { burst: 100, perSecond: 1, words: 'SETTINGS frames' },
  pings: { burst: 1000, perSecond: 128, words: 'PING frames' },
  empty: { burst: 100, perSecond: 10, words: 'empty frames' },
  windows: { burst: 1000, perSecond: 100, words: 'WINDOW_UPDATE frames' },
  dribbles: {
    burst: 1000,
    perSecond: 100,
    words: 'WINDOW_UPDATE frames that open a shut window by a few bytes',
  },
  priorities: { burst: 1000, perSecond: 100, words: 'PRIORITY frames' },
  others: { burst: 1000, perSecond: 100, words: 'frames of no use' },
} as const satisfies Record<string, Budget>
type Name = keyof typeof budgets
const names = Object.keys(budgets) as Name[]
const index = Object.fromEntries(names.map((name, at) => [name, at])) as Record<Name, number>
const bursts = names.map((name): number => budgets[name].burst)
const rates = names.map((name): number => budgets[name].perSecond / 1000)

/** A window that is open by less than this after a WINDOW_UPDATE was opened by a dribble. */
const DRIBBLE = 64
/** A stream that has lived for so long pays for its cancel. */
const PATIENT_MS = 100
/** nghttp2's limit of CONTINUATION frames in one header block. */
const MAX_CONTINUATIONS = 8
/** An acknowledgement of less counts as one of this: the least message of gRPC. */
const MIN_MESSAGE = 5
/**
 * A block larger than `http.maxHeader` is read to its end, for its changes of the table; one this many times
 * larger is not.
 */
const HEADER_EXCESS = 4

/** Codes of RST_STREAM for rules that the client broke; we or the service choose the other ends. */
// PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, ENHANCE_YOUR_CALM.
const clientsFault: ReadonlySet<number> = new Set([1, 3, 5, 6, 7, 11])

export interface BudgetOptions {
  /** `http.maxHeader`. */
  maxHeaderBytes: number
  /** Has seen each frame before it is judged. */
  flow: Pick<ClientFlow, 'windowOf' | 'streamOf'>
}

export class FrameBudgets implements FrameJudge {
  readonly #clock: Clock
  readonly #flow: BudgetOptions['flow']
  readonly #maxBlockBytes: number
  readonly #left = bursts.slice()
  #filledAt: number
  /** Bytes of our DATA that the client may still acknowledge. */
  #unacknowledged = 0
  /** The highest stream that the client has opened. */
  #lastStream = 0
  /** Bytes of the unfinished header block; -1 while there is none. */
  #blockBytes = -1
  #continuations = 0
  /** Header blocks that have begun. */
  blocks = 0
  /** Watches the frames for the client; their scanner gets this judge. */
  readonly outbound: FrameJudge = { onFrame: (frame) => this.#onFrameOut(frame) }

  constructor(clock: Clock, options: BudgetOptions) {
    this.#clock = clock
    this.#flow = options.flow
    this.#filledAt = clock.now()
    this.#maxBlockBytes = Math.max(16_384, options.maxHeaderBytes) * HEADER_EXCESS
  }

  /** The last header block has no end yet. */
  get isInBlock(): boolean {
    return this.#blockBytes >= 0
  }

  /** A frame of the client. */
  onFrame(frame: Frame): Close | null {
    switch (frame.type) {
      case frames.DATA:
        return this.#onData(frame)
      case frames.HEADERS:
        return this.#onHeaders(frame)
      case frames.CONTINUATION:
        return this.#onContinuation(frame)
      case frames.RST_STREAM:
        return this.#onReset(frame.stream)
      case frames.SETTINGS:
        return this.#take((frame.flags & frames.ACK) === 0 ? 'settings' : 'others')
      case frames.PING:
        return this.#take((frame.flags & frames.ACK) === 0 ? 'pings' : 'others')
      case frames.WINDOW_UPDATE:
        return this.#onWindowUpdate(frame)
      case frames.PRIORITY:
        // nghttp2 ignores these.
        if (frame.stream === 0) return h2Fault('protocol_error', PROTOCOL_ERROR, 'PRIORITY frame on stream 0')
        return this.#take('priorities')
      case frames.PRIORITY_UPDATE:
        return this.#take('priorities')
      default:
        return this.#take('others')
    }
  }

  #onData(frame: Frame): Close | null {
    const padding = (frame.flags & frames.PADDED) === 0 ? 0 : 1 + frame.word
    if (frame.length <= padding && (frame.flags & frames.END_STREAM) === 0) return this.#take('empty')
    this.#earn('pings', 1)
    return null
  }

  #onHeaders(frame: Frame): Close | null {
    if (frame.stream > this.#lastStream) {
      this.#lastStream = frame.stream
      this.#earn('windows', 2)
      this.#earn('priorities', 10)
      this.#earn('others', 3)
    } else {
      // Trailers, or HEADERS of a closed stream, which nghttp2 ignores.
      const fault = this.#take('others')
      if (fault !== null) return fault
    }
    this.blocks++
    this.#blockBytes = 0
    this.#continuations = 0
    return this.#addToBlock(frame)
  }

  #onContinuation(frame: Frame): Close | null {
    // One that continues no block is left to nghttp2.
    if (this.#blockBytes < 0) return this.#take('others')
    this.#continuations++
    if (this.#continuations > MAX_CONTINUATIONS)
      return this.#tooMuch(`a header block of more than ${MAX_CONTINUATIONS} CONTINUATION frames`)
    return this.#addToBlock(frame)
  }

  #onReset(id: number): Close | null {
    const stream = this.#flow.streamOf(id)
    if (stream === undefined) return this.#take('resets')
    const lived = this.#clock.now() - stream.openedAt
    if (stream.isAnswered || lived >= PATIENT_MS) return null
    return this.#take('resets', 1 - Math.max(0, lived) / PATIENT_MS)
  }

  #onWindowUpdate(frame: Frame): Close | null {
    if (this.#flow.windowOf(frame.stream) < DRIBBLE) return this.#take('dribbles')
    const bytes = Math.max(frame.word & 0x7fff_ffff, MIN_MESSAGE)
    if (bytes > this.#unacknowledged) return this.#take('windows')
    this.#unacknowledged -= bytes
    return null
  }

  #addToBlock(frame: Frame): Close | null {
    this.#blockBytes += frame.length
    if (this.#blockBytes > this.#maxBlockBytes)
      return this.#tooMuch(`a header block of more than ${this.#maxBlockBytes} bytes (http.maxHeader)`)
    const isWhole = (frame.flags & frames.END_HEADERS) !== 0
    if (isWhole) this.#blockBytes = -1
    return isWhole || frame.length > 0 ? null : this.#take('empty')
  }

  #tooMuch(words: string): Close {
    return h2Fault('message_too_big', ENHANCE_YOUR_CALM, words)
  }

  #onFrameOut(frame: Frame): Close | null {
    if (frame.type === frames.RST_STREAM) return clientsFault.has(frame.word) ? this.#take('made') : null
    if (frame.type === frames.DATA && frame.length > 0) {
      // Once for the stream, and once for the connection.
      this.#unacknowledged += 2 * frame.length
      if (frame.length < DRIBBLE) this.#earn('windows', 2)
      else this.#earn('windows', 10)
      this.#earn('pings', 1)
    }
    const isEnd = frame.type === frames.DATA || frame.type === frames.HEADERS
    if (isEnd && (frame.flags & frames.END_STREAM) !== 0) {
      this.#earn('resets', 1)
      this.#earn('made', 0.1)
    }
    return null
  }

  #earn(name: Name, tokens: number): void {
    const at = index[name]
    this.#left[at] = Math.min(bursts[at]!, this.#left[at]! + tokens)
  }

  #take(name: Name, tokens = 1): Close | null {
    const at = index[name]
    this.#fill()
    if (this.#left[at]! >= tokens) {
      this.#left[at]! -= tokens
      return null
    }
    const { burst, perSecond, words } = budgets[name]
    return h2Fault(
      'rate_limited',
      ENHANCE_YOUR_CALM,
      `more than ${burst} ${words} at once, or ${perSecond} a second, beside what they are for`,
    )
  }

  #fill(): void {
    const now = this.#clock.now()
    const passed = now - this.#filledAt
    if (passed <= 0) return
    this.#filledAt = now
    for (let at = 0; at < rates.length; at++)
      this.#left[at] = Math.min(bursts[at]!, this.#left[at]! + passed * rates[at]!)
  }
}
