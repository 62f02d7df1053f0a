// WebSocket as a Dialogue of the pair: frames are scanned and forwarded unchanged; our own pings and Close
// frames stand only between frames. In message mode the sinks make new frames, and ours may stand anywhere
// (`Endpoint.inject`).

import type { Clock } from '../core/clock.ts'
import { makeClose, websocketCode, type Close } from '../core/close.ts'
import type { Connection, Observer } from '../core/connection.ts'
import type { Farewell } from '../core/manner.ts'
import type { Dialogue } from '../pair/dialogue.ts'
import type { Half } from '../pair/half.ts'
import type { Meter } from '../limits/meter.ts'
import { note } from '../core/timeline.ts'
import type { Wait } from '../core/wait.ts'
import { isBetweenFrames, isHeardOut, mayInject } from './boundaries.ts'
import { ClosingHandshake, CONTROL_HEAD, noteClose } from './closing-handshake.ts'
import { closePayload, controlFrame } from './frame.ts'
import type { FramesOptions } from './frames-options.ts'
import { CLOSE, FrameScanner, PING, type ControlHandler, type Verdict } from './frame-scanner.ts'
import { blamePing, unanswered } from './ping-ends.ts'
import { Pinger } from './pinger.ts'
import { Postponed } from './postponed.ts'
import { UnfinishedMessages } from './unfinished.ts'
import { codeOf, violationClose, type Violation } from './violation.ts'
import { describeClosing, describeOwed } from './waits.ts'

const swallow = { forward() {} }

/** The cost of a frame beside its bytes: as many bytes as could be relayed in the same time. */
const FRAME_COST = 1024
/** How many frames after our goodbye are scanned for the Close that answers it. */
const LATE_FRAMES = 2048

export class Frames implements Dialogue, ControlHandler {
  readonly #connection: Connection
  readonly #clock: Clock
  readonly #observer: Observer
  readonly #options: FramesOptions
  /** The frames of clients; the frames of upstreams. */
  readonly #fromClient: FrameScanner
  readonly #fromUpstream: FrameScanner
  readonly #client: Pinger
  readonly #unfinished: UnfinishedMessages
  readonly #upstream: Pinger
  #toUpstream: Half | null = null
  #toClient: Half | null = null
  /** Null until the first Close frame passed on. */
  #closing: ClosingHandshake | null = null
  /** An end that waits until both directions stand between frames, unless one of them does not move on. */
  #postponed: Postponed | null = null
  /** The client has broken a rule, and the upstream is heard out. */
  #isHearing = false
  /** Bytes of the last Close frame to each side. */
  readonly #lastWords = { client: 0, upstream: 0 }
  #lateFrames = LATE_FRAMES

  /** `isCompressed`: whether each side may send compressed messages. */
  constructor(
    connection: Connection,
    options: FramesOptions,
    isCompressed: { client: boolean; upstream: boolean },
    { clock, observer }: { clock: Clock; observer: Observer },
  ) {
    const { maxMessageBytes, maxFragments, maxMessageToClientBytes, live } = options
    this.#connection = connection
    this.#clock = clock
    this.#observer = observer
    this.#options = options
    this.#fromClient = new FrameScanner(
      { isMasked: true, isCompressed: isCompressed.client, maxMessageBytes, maxFragments },
      this,
    )
    this.#fromUpstream = new FrameScanner(
      {
        isMasked: false,
        isCompressed: isCompressed.upstream,
        maxMessageBytes: maxMessageToClientBytes,
        maxFragments: Number.POSITIVE_INFINITY,
      },
      this,
    )
    this.#unfinished = new UnfinishedMessages(this.#fromClient, this.#fromUpstream)
    this.#client = new Pinger('client', live, clock.now())
    this.#upstream = new Pinger('upstream', live, clock.now())
  }

  attach(toUpstream: Half, toClient: Half): void {
    this.#toUpstream = toUpstream
    this.#toClient = toClient
    this.#fromClient.gate = gateOf(toUpstream)
    this.#fromUpstream.gate = gateOf(toClient)
  }

  relay(half: Half, bytes: Buffer, length: number): void {
    const scanner = this.#scanner(half)
    if (scanner.isClosed && !scanner.isMuted) return half.discard(length)
    const stop = this.#scan(half, scanner, bytes, length)
    half.activity = scanner.activity
    half.controlBytes = scanner.controlBytes
    half.flow.messages = scanner.messages
    if (scanner.dropped > 0) this.#countDropped(scanner)
    // The pair was closed at a boundary inside these bytes; the bytes after it may hold the answer already.
    if (scanner.isMuted) return void ((scanner.hasFailed || scanner.isClosed) && half.source.end())
    if (typeof stop === 'number' && scanner.allowance === 0) half.waitWith(bytes, stop, length)
    else if (typeof stop === 'number') half.meter!.onMessagesOver(bytes, stop, length)
    else if (stop !== null) this.#connection.owner?.close(violationClose(stop, half.source.side))
    else if (this.#fromClient.isClosed && this.#fromUpstream.isClosed)
      this.#connection.owner?.close(this.#closing!.end(null))
  }

  /** Scans no more frames than this half may in this turn of the event loop. */
  #scan(half: Half, scanner: FrameScanner, bytes: Buffer, length: number): Violation | number | null {
    const allowed = (scanner.allowance = half.affords(FRAME_COST))
    const stop = scanner.scan(bytes, length, half)
    half.spend((allowed - scanner.allowance) * FRAME_COST)
    return stop
  }

  onControl(scanner: FrameScanner, opcode: number, payload: Buffer): Verdict {
    const isFromClient = scanner === this.#fromClient
    if (opcode === CLOSE) {
      const [side, other] = isFromClient
        ? (['client', 'upstream'] as const)
        : (['upstream', 'client'] as const)
      noteClose(this.#connection, side, payload)
      // The frame answers our own Close.
      if (this.#isHearing) return 'drop'
      this.#closing ??= new ClosingHandshake(
        side,
        payload,
        { toUpstream: this.#toUpstream!, toClient: this.#toClient! },
        this.#clock.now(),
      )
      if (!isFromClient && payload.length > 0) this.#fromClient.echoed = codeOf(payload)
      this.#lastWords[other] = CONTROL_HEAD + payload.length
      return 'pass'
    }
    if (opcode === PING) {
      const verdict = judge(scanner)
      if (verdict === 'pass') (isFromClient ? this.#upstream : this.#client).hasForeignPing = true
      return verdict
    }
    const own = (isFromClient ? this.#client : this.#upstream).isOurs(payload, this.#clock.now())
    if (own === null) return judge(scanner)
    // A pong that answers our own ping counts against no limit.
    if (own.rttMs !== null) this.#observer.onPong(this.#connection, own.rttMs)
    return 'drop'
  }

  onMessage(scanner: FrameScanner, bytes: number, fragments: number): void {
    const direction = scanner === this.#fromClient ? 'to_upstream' : 'to_client'
    this.#observer.onMessage(this.#connection, direction, bytes, fragments)
  }

  #countDropped(scanner: FrameScanner): void {
    this.#observer.onMessagesDropped(this.#connection, 'rate', scanner.dropped)
    scanner.dropped = 0
  }

  onBoundary(scanner: FrameScanner): void {
    if (this.#postponed !== null) {
      scanner.wantsBoundary = true
      return this.#connection.owner?.close(this.#postponed.close)
    }
    this.#ping(scanner === this.#fromClient ? this.#upstream : this.#client)
  }

  onSourceEnd(half: Half): Close | null {
    // After a Close frame either way, FIN is due (RFC 6455 section 7.1.1).
    if (this.#closing !== null) return null
    const scanner = this.#scanner(half)
    return makeClose(
      'aborted',
      half.source.side,
      'relay',
      scanner.isInMessage ? 'FIN inside a message' : 'FIN without a Close frame',
    )
  }

  explain(close: Close): Close {
    if (close.side === 'sidegate') return close
    const pinger = close.side === 'client' ? this.#client : this.#upstream
    return blamePing(close, pinger, this.#closing?.side === close.side ? this.#closing.at : this.#clock.now())
  }

  postpone(close: Close): boolean {
    const now = this.#clock.now()
    // Both go anyway: a Close of ours would reach the peer that began in place of the other's answer.
    if (this.#closing !== null) {
      const due = this.#closing.due(this.#options.live.current, now)
      if (due !== null) this.#connection.owner?.close(due)
      return true
    }
    if (isBetweenFrames(this.#fromClient) && isBetweenFrames(this.#fromUpstream)) return false
    this.#postponed ??= new Postponed(close, this.#toUpstream!, this.#toClient!, now)
    if (this.#isOverdue(now)) return false
    this.#fromClient.wantsBoundary = this.#fromUpstream.wantsBoundary = true
    return true
  }

  /** A frame that an end waits for does not move on. */
  #isOverdue(now: number): boolean {
    const isInFrame = {
      toUpstream: !isBetweenFrames(this.#fromClient),
      toClient: !isBetweenFrames(this.#fromUpstream),
    }
    return this.#postponed!.isOverdue(isInFrame, this.#options.live.current.closeMs, now)
  }

  hearOut(close: Close): boolean {
    this.#isHearing = isHeardOut(close) && !this.hasHeardOut
    return this.#isHearing
  }

  get hasHeardOut(): boolean {
    return this.#fromUpstream.isClosed || this.#fromUpstream.hasFailed
  }

  concluded(how: string): Close | null {
    return this.#closing && this.#closing.end(how)
  }

  lastWord({ sink }: Half): number {
    return this.#lastWords[sink.side]
  }

  farewell(half: Half, close: Close): Farewell {
    this.#scanner(half).isMuted = true
    const code = websocketCode(close, half.sink.side)
    if (code === null) return 'nothing'
    const towards = this.#scanner(half)
    const from = towards === this.#fromClient ? this.#fromUpstream : this.#fromClient
    towards.wantsBoundary = false
    // Nothing is forwarded any more, so there is nothing to slow down.
    towards.gate = null
    // The Close of a heard-out upstream was not passed on: the client still needs ours.
    if (!towards.isClosed || this.#isHearing) {
      if (!mayInject(half, towards)) return 'blocked'
      this.#send(half, CLOSE, closePayload(code, close.reason))
      // This does not close `towards`: it still scans for the Close that answers the other farewell.
    }
    // A peer that broke the framing or has closed owes no answer, nor does a client whose upstream is gone.
    // Between us and an upstream, the upstream is to send FIN first (RFC 6455 section 7.1.1): the first
    // sender of FIN keeps the connection's port for a minute (TIME_WAIT).
    const isOver =
      from.isClosed || from.hasFailed || (close.side !== 'sidegate' && half.direction === 'to_client')
    return isOver ? 'said' : 'awaited'
  }

  isAnswered(half: Half, bytes: Buffer, length: number): boolean {
    const scanner = this.#scanner(half)
    scanner.allowance = this.#lateFrames
    const rest = half.takeRest()
    if (rest !== null) scanner.scan(rest, rest.length, swallow)
    const failure = scanner.scan(bytes, length, swallow)
    this.#lateFrames = scanner.allowance
    // This peer's bytes make no sense, and may go on for long: it must get our Close, and FIN, all the same.
    if (failure !== null || scanner.hasFailed) half.source.end()
    return scanner.isClosed
  }

  isOwing(half: Half): boolean {
    return this.#scanner(half).isInMessage
  }

  hasSaidAll(half: Half): boolean {
    return this.#scanner(half).isClosed
  }

  sweep(now: number): Close | null {
    if (this.#postponed !== null && this.#isOverdue(now)) return this.#postponed.close
    const { messageTimeoutMs } = this.#options.live.current
    if (this.#closing !== null) return this.#closing.due(this.#options.live.current, now)
    const [toUpstream, toClient] = [this.#toUpstream!, this.#toClient!]
    return (
      this.#unfinished.check(toUpstream, toClient, messageTimeoutMs, now) ??
      this.#sweepPings(this.#client, toUpstream, toClient, now) ??
      this.#sweepPings(this.#upstream, toClient, toUpstream, now)
    )
  }

  describe(): Omit<Wait, 'state'> | null {
    if (this.#closing !== null) return describeClosing(this.#closing, this.#options.live.current)
    return describeOwed(
      [this.#client, this.#upstream],
      this.#unfinished.next(this.#options.live.current.messageTimeoutMs),
    )
  }

  owingSince(half: Half): number | null {
    return this.#unfinished.since(half)
  }

  /** `from` is the half that carries the side's bytes, `to` the half that sends to it. */
  #sweepPings(pinger: Pinger, from: Half, to: Half, now: number): Close | null {
    if (!pinger.isAsked) return null
    const {
      ping: { misses },
      writeMs,
    } = this.#options.live.current
    const { missed } = pinger
    const verdict = pinger.sweep(
      { received: from.flow.received, sent: to.flow.sent, isBlind: from.isPaused, sink: to.sink, writeMs },
      now,
    )
    if (pinger.missed > missed) note(this.#connection, 'ping_missed', now, pinger.side)
    if (verdict === 'ask') this.#ping(pinger)
    return verdict === 'ask' || verdict === null ? null : unanswered(verdict, pinger.side, misses)
  }

  #ping(pinger: Pinger): void {
    const half = pinger.side === 'client' ? this.#toClient! : this.#toUpstream!
    const scanner = this.#scanner(half)
    if (scanner.isClosed) return
    if (pinger.hasForeignPing) return pinger.expect(this.#clock.now(), half.flow.sent)
    // After queued bytes a ping would say nothing about its peer; the write deadline covers that.
    if (half.sink.queued > 0) return
    if (!mayInject(half, scanner)) {
      scanner.wantsBoundary = true
      return
    }
    this.#send(half, PING, pinger.ask(this.#clock.now(), half.flow.sent))
    this.#observer.onPingSent(this.#connection)
  }

  #send(half: Half, opcode: number, payload: Buffer): void {
    const frame = controlFrame(opcode, payload, half.direction === 'to_upstream')
    if (opcode === CLOSE) this.#lastWords[half.sink.side] = frame.length
    if (half.sink.inject !== undefined) half.sink.inject(frame)
    else half.forward(frame, 0, frame.length)
  }

  #scanner(half: Half): FrameScanner {
    return half.direction === 'to_upstream' ? this.#fromClient : this.#fromUpstream
  }
}

/** A control frame costs as much as a message. */
function judge({ gate }: FrameScanner): Verdict {
  return gate === null ? 'pass' : gate.takeControl()
}

function gateOf({ meter }: Half): Meter | null {
  return meter?.countsMessages === true ? meter : null
}
