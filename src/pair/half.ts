// One direction of a pair: reads from `source`, writes to `sink`, and reads no faster than the sink takes.
//
//     source --relay()--> [ dialogue looks at the bytes ] --forward()--> sink
//        ^                                                                |
//        +------ paused while what the next read may bring would not fit -+
//
// The bound is strict: a half reads only while its queue has room for a whole read, so no more than
// `highBytes` ever wait, whatever the peers do. With rate limits it reads only while its bucket allows it,
// too (meter.ts). And it has a share of each turn of the event loop (core/turns.ts): beyond it, it reads
// nothing before the next turn. Where a read holds more frames than the share pays for, the rest of that read
// waits here; at most one read does.

import type { Close } from '../core/close.ts'
import type { Direction, Flow } from '../core/connection.ts'
import { READ_COST, Share, type Turns, type Worker } from '../core/turns.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Dialogue } from './dialogue.ts'
import { copyOf, forwardText } from './half-bytes.ts'
import type { HalfRates, Meter, Metered } from '../limits/meter.ts'

export interface BufferOptions {
  /** The most that waits in a half. */
  highBytes: number
  /** A paused half reads again once no more than this waits (and a whole read fits). */
  lowBytes: number
  /** The most that one read can bring; at most `highBytes`. */
  readBytes: number
}

/** Reasons not to read a source, a set of bits: the half reads when none is left. */
const SINK = 1
const BUCKET = 2
const DIALOGUE = 4
const TURN = 8

/**
 * The most that is read from a peer after our goodbye, to hear its answer, counted as a share is; then
 * reading stops. An innocent peer has little on its way, or learns of the end by the FIN that follows; a
 * flood would keep us scanning for `deadlines.close`.
 */
const LATE = 4 * 1024 * 1024

/** The pair that a half belongs to. */
export interface HalfOwner {
  /** The half may go on, by its bucket or by its share of the event loop; the pair calls its `onTurn`. */
  onTurn(half: Half): void
  /** The source sent its first byte. */
  onFirstByte(half: Half): void
  onLimited(half: Half, what: string): void
  close(close: Close): void
}

export interface HalfContext {
  buffers: BufferOptions
  turns: Turns
  owner: HalfOwner
  dialogue: Dialogue | null
}

/** The way of the bytes. */
interface Way {
  direction: Direction
  source: Endpoint
  sink: Endpoint
  flow: Flow
}

export class Half implements Worker, Metered {
  readonly direction: Direction
  source: Endpoint
  sink: Endpoint
  readonly flow: Flow
  readonly #dialogue: Dialogue | null
  readonly #buffers: BufferOptions
  readonly #owner: HalfOwner
  readonly #share: Share
  /** The source sent FIN. */
  hasEnded = false
  /** The rate limits of this half; null for most halves, which have none. */
  meter: Meter | null = null
  #blockers = 0
  /** The rest of a read that waits for a token or for a turn. */
  #rest: Buffer | null = null
  #relaying: Buffer | null = null
  #hasEndBehindRest = false
  #late = LATE
  #isLast = false
  /** Changes whenever data passes, not with control traffic (pings): `idle` is judged by it. */
  activity = 0
  /** Received bytes of control traffic: they are no part of what the source owes. */
  controlBytes = 0

  constructor({ direction, source, sink, flow }: Way, { buffers, turns, owner, dialogue }: HalfContext) {
    this.direction = direction
    this.source = source
    this.sink = sink
    this.flow = flow
    this.#buffers = buffers
    this.#owner = owner
    this.#share = new Share(turns, this)
    this.#dialogue = dialogue
  }

  /**
   * The source is not read. Node does not read a paused socket at all, so we see neither its FIN nor its RST
   * before `resume`: where the sink does not keep up, the sink's write deadline ends such a pair.
   */
  get isPaused(): boolean {
    return this.#blockers !== 0 || this.source.carrier?.isHeld === true
  }

  /** The source is a stream of HTTP/2: the chunks of its bodies are our own. */
  get isOfStream(): boolean {
    return this.source.carrier !== undefined
  }

  /** The source is not read because the sink does not keep up. */
  get isBackpressured(): boolean {
    return (this.#blockers & SINK) !== 0
  }

  /** The source is not read because of a rate limit: its silence is nobody's fault. */
  get isDelayed(): boolean {
    return (this.#blockers & BUCKET) !== 0 || this.source.carrier?.isHeld === true
  }

  /** Takes bytes that the source read; returns false when the source must pause. */
  relay(bytes: Buffer, length: number): boolean {
    this.flow.received += length
    if (this.flow.firstMs < 0) this.#owner.onFirstByte(this)
    if (this.meter !== null && !this.meter.takeBytes(length)) return true
    this.#share.spend(length + READ_COST)
    if (this.#dialogue === null) {
      this.activity++
      this.forward(bytes, 0, length)
    } else {
      this.#dialogue.relay(this, bytes, length)
    }
    return this.#mayRead()
  }

  /** How many frames of this cost each the turn still pays for; at least one. */
  affords(cost: number): number {
    return this.#isLast ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(this.#share.left / cost))
  }

  /** Charges the share for work beside the bytes that the half read. */
  spend(cost: number): void {
    this.#share.spend(cost)
  }

  /** Keeps `bytes[start..end)` for the next turn of this half. */
  waitWith(bytes: Buffer, start: number, end: number): void {
    this.keepRest(bytes, start, end)
    this.#waitTurn()
  }

  /** Keeps bytes that the dialogue gets again when this half goes on. */
  keepRest(bytes: Buffer, start: number, end: number): void {
    // Bytes already kept are copied again only if they are at most half of the buffer that they keep alive.
    const isOwn = bytes === this.#relaying && (end - start) * 2 > bytes.buffer.byteLength
    this.#rest = isOwn ? bytes.subarray(start, end) : copyOf(bytes, start, end)
  }

  /** Bytes that wait ahead of the sink's queue: the rest of a read, and those that the sink holds itself. */
  get waiting(): number {
    const { assembling = 0, keeping = 0 } = this.sink
    return assembling + keeping + (this.#rest === null ? 0 : this.#rest.length)
  }

  /** Takes the kept bytes out, for a dialogue that reads them in another way. */
  takeRest(): Buffer | null {
    const rest = this.#rest
    this.#rest = null
    return rest
  }

  /** The source has ended; true while earlier bytes are kept. `isEndDue` becomes true once they are gone. */
  putsEndOff(): boolean {
    return (this.#hasEndBehindRest = this.#rest !== null)
  }

  get isEndDue(): boolean {
    return this.#hasEndBehindRest && this.#rest === null && !this.hasEnded
  }

  /** Sends `bytes[start..end)` on to the sink. */
  forward(bytes: Buffer, start: number, end: number): void {
    this.flow.sent += end - start
    this.sink.write(bytes, start, end)
  }

  /** Sends on a whole HTTP/1.1 head, in latin1: a character is a byte. */
  forwardHead(text: string): void {
    if (this.sink.writeHead === undefined) return forwardText(this, text)
    this.flow.sent += text.length
    this.sink.writeHead(text)
  }

  /** Stops reading while the dialogue can use nothing: what the source sends waits in its own socket. */
  hold(): void {
    this.#blockers |= DIALOGUE
  }

  /** Undoes `hold`. */
  letGo(): void {
    if ((this.#blockers & DIALOGUE) !== 0) this.#unblock(DIALOGUE)
  }

  /** The limits draw from other buckets from now on. */
  drawFrom(rates: HalfRates): void {
    if (this.meter === null) return
    this.meter.drawFrom(rates)
    if (this.meter.mayRead()) {
      if ((this.#blockers & BUCKET) !== 0) this.#unblock(BUCKET)
    } else {
      this.#blockers |= BUCKET
      this.source.pause()
    }
  }

  /** Reads from another endpoint from now on. */
  readFrom(source: Endpoint): void {
    this.source = source
    this.hasEnded = false
    if (this.#blockers !== 0) source.pause()
  }

  /** Writes to another endpoint from now on. */
  writeTo(sink: Endpoint): void {
    this.sink = sink
    this.onSinkProgress()
  }

  #mayRead(): boolean {
    const { highBytes, readBytes } = this.#buffers
    if (this.sink.queued > highBytes - readBytes) {
      if (!this.isBackpressured) this.flow.pauses++
      this.#blockers |= SINK
    }
    return this.#mayGoOn()
  }

  #mayGoOn(): boolean {
    if (this.meter !== null && !this.meter.mayRead()) this.#blockers |= BUCKET
    if (this.#share.left === 0) this.#waitTurn()
    return this.#blockers === 0
  }

  #waitTurn(): void {
    this.#blockers |= TURN
    this.#share.wait()
  }

  onShare(): void {
    this.#blockers &= ~TURN
    this.#owner.onTurn(this)
  }

  onLimited(what: string): void {
    this.#owner.onLimited(this, what)
  }

  onTokens(): void {
    this.#owner.onTurn(this)
  }

  end(close: Close): void {
    this.#owner.close(close)
  }

  /** The sink took bytes: the half reads again if there is room. */
  onSinkProgress(): void {
    if (!this.isBackpressured) return
    const { highBytes, lowBytes, readBytes } = this.#buffers
    if (this.sink.queued > Math.min(lowBytes, highBytes - readBytes)) return
    this.#unblock(SINK)
  }

  /**
   * The half's turn, by its bucket or in the event loop: kept bytes go on first, then the source is read
   * again if it may be.
   */
  onTurn(): void {
    if ((this.#blockers & TURN) === 0 && this.meter?.isWaiting !== true) this.#relayRest()
    // Bytes that are relayed in their turn of the event loop may still have to wait for a token.
    if (this.meter === null || this.meter.mayRead()) this.#blockers &= ~BUCKET
    else this.#blockers |= BUCKET
    if (this.#blockers === 0) this.source.resume()
  }

  /** The source is gone: the bytes accepted from it go on in this turn. */
  withoutWaiting(): this {
    this.#isLast = true
    this.leave()
    this.#blockers &= ~TURN
    return this
  }

  #relayRest(): void {
    const rest = this.takeRest()
    if (rest === null) return
    this.#relaying = rest
    this.#dialogue!.relay(this, rest, rest.length)
    this.#relaying = null
  }

  /** The source has said its last word: the half reads on for its FIN alone, and at most LATE bytes. */
  discard(length: number): void {
    this.#late -= length
    if (this.#late <= 0) this.hold()
  }

  /** Bytes of a peer that got our goodbye; returns false once they are too many for an answer. */
  hear(bytes: Buffer, length: number): boolean {
    this.flow.received += length
    this.#late -= length
    if (this.#late <= 0) return false
    if (this.#dialogue?.isAnswered?.(this, bytes, length) === true) this.source.conclude()
    return this.#late > 0
  }

  /** Nobody wants the rest of what the source owes: it is read for `drop` alone. */
  neglect(): void {
    this.#rest = null
    this.#blockers = 0
  }

  /** Takes bytes in turns and at the rate of the limits, as `relay` does, and drops them. */
  drop(length: number): boolean {
    this.flow.received += length
    if (this.meter !== null && !this.meter.takeBytes(length)) return false
    this.#share.spend(length + READ_COST)
    return this.#mayGoOn()
  }

  /** Ends all relaying and waiting. */
  leave(): void {
    this.meter?.leave()
    this.#share.leave()
  }

  #unblock(blocker: number): void {
    this.#blockers &= ~blocker
    if (this.#blockers !== 0) return
    if (this.#share.mayBegin) this.source.resume()
    else this.#waitTurn()
  }
}
