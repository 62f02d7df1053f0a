// The frames of a client's connection, both ways: they are scanned before node:http2 sees them, as many in a
// turn of the event loop as the client can afford, judged by its budgets (frame-budgets.ts), and counted by
// its windows (flow.ts).

import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { NOTHING } from '../core/nothing.ts'
import type { Half } from '../pair/half.ts'
import { ClientFlow } from './flow.ts'
import { FrameBudgets } from './frame-budgets.ts'
import { codeName, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR } from './codes.ts'
import { FrameScanner, GOAWAY, HEADER_LENGTH, SETTINGS } from './frame-scanner.ts'
import type { Frame } from './frame-scanner.ts'
import { goawayFrame } from './goaway.ts'
import type { Http2Options } from './options.ts'
import { tellMaxStreams } from './session-settings.ts'
import type { Span } from './session-settings.ts'

const MAX_WORDS = 120
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])

export class SessionFrames {
  readonly flow = new ClientFlow()
  readonly #in: FrameScanner
  readonly #out: FrameScanner
  readonly #budgets: FrameBudgets
  readonly #clock: Clock
  /** Since when a header block (a head, or trailers) has been on its way; null between two. */
  headSince: number | null = null
  /** Its number. */
  #block = 0
  /** The outgoing bytes during their scan. */
  #outgoing = NOTHING
  /** The payload of a GOAWAY in the outgoing bytes; other frames may follow it. */
  #goaway: Span | null = null
  /** Our SETTINGS are on their way, as the first frame must be (RFC 9113 section 3.4). */
  hasSettings = false
  /** nghttp2 has reported in a GOAWAY that the client broke a rule. */
  hasNamedFault = false

  readonly #maxStreams: number

  constructor(clock: Clock, options: Pick<Http2Options, 'maxHeaderBytes' | 'maxStreams'>) {
    const { flow } = this
    this.#maxStreams = options.maxStreams
    this.#clock = clock
    const budgets = (this.#budgets = new FrameBudgets(clock, {
      maxHeaderBytes: options.maxHeaderBytes,
      flow,
    }))
    const judge = {
      onFrame: (frame: Frame) => (flow.onFrame(frame), budgets.onFrame(frame)),
    }
    const outward = {
      onFrame: (frame: Frame) => {
        if (frame.type === GOAWAY) this.#goaway = payloadOf(frame)
        else if (frame.type === SETTINGS) {
          tellMaxStreams(this.#outgoing, payloadOf(frame), this.#maxStreams)
          this.hasSettings = true
        }
        flow.onFrameOut(frame)
        return budgets.outbound.onFrame(frame)
      },
    }
    this.#in = new FrameScanner(judge, { hasPreface: true })
    this.#out = new FrameScanner(outward, { hasPreface: false })
  }

  /**
   * Relays paid frames of the client: those that it cannot afford in this turn wait for the next. Returns why
   * the connection ends, or null.
   */
  relayIn(half: Half, bytes: Buffer, length: number): Close | null {
    const scanner = this.#in
    // An infinite allowance is for the last read, which waits for no other turn.
    const allowed = Math.min(half.affords(1), Number.MAX_SAFE_INTEGER)
    scanner.allowance = allowed
    const stop = scanner.scan(bytes, 0, length)
    half.spend(allowed - scanner.allowance)
    if (stop > 0) half.forward(bytes, 0, stop)
    this.flow.forgetEarly()
    this.#noteHead()
    if (scanner.fault === null && stop < length) half.waitWith(bytes, stop, length)
    return scanner.fault
  }

  /** A whole block that came meanwhile is no part of the next one. */
  #noteHead(): void {
    const { blocks, isInBlock } = this.#budgets
    if (!isInBlock && !this.#in.isInHeaders) this.headSince = null
    else if (this.headSince === null || blocks !== this.#block) this.headSince = this.#clock.now()
    this.#block = blocks
  }

  /** The client was not read: a block on its way is not late. */
  excuseHead(now: number): void {
    if (this.headSince !== null) this.headSince = now
  }

  /** Relays frames of node:http2, which come complete. */
  relayOut(half: Half, bytes: Buffer, length: number): Close | null {
    this.#goaway = null
    this.#outgoing = bytes
    this.#out.scan(bytes, 0, length)
    this.#outgoing = NOTHING
    const fault = this.#faultOf(bytes)
    half.forward(bytes, 0, length)
    return this.#out.fault ?? fault
  }

  /**
   * A GOAWAY of our own. Node's SETTINGS go out in the turn after the beginning; a connection that ends in
   * that turn has empty ones before its GOAWAY, which is a broken rule to its client otherwise.
   */
  sayGoaway(half: Half, lastStream: number, code: number, why: string): void {
    const frame = goawayFrame(lastStream, code, why)
    if (!this.hasSettings) half.forward(EMPTY_SETTINGS, 0, EMPTY_SETTINGS.length)
    half.forward(frame, 0, frame.length)
  }

  /** The Close of a GOAWAY that names the rule that the client broke, not of one that asks it to leave. */
  #faultOf(bytes: Buffer): Close | null {
    if (this.#goaway === null) return null
    const { from, to } = this.#goaway
    const code = bytes.readUInt32BE(from + 4)
    if (code === NO_ERROR) return null
    this.hasNamedFault = true
    // Node gives this code to frames in which nghttp2 found a broken rule.
    if (code === INTERNAL_ERROR) bytes.writeUInt32BE(PROTOCOL_ERROR, from + 4)
    const words = bytes.toString('latin1', from + 8, to).slice(0, MAX_WORDS)
    return makeClose('protocol_error', 'client', 'relay', words === '' ? codeName(code) : words)
  }
}

function payloadOf({ at, length }: Frame): Span {
  const from = at + HEADER_LENGTH
  return { from, to: from + length }
}
