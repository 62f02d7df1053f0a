// One direction of a pair: reads from `source`, writes to `sink`, and reads no faster than the sink takes.
//
//     source --relay()--> [ dialogue looks at the bytes ] --forward()--> sink
//        ^                                                                |
//        +------ paused while what the next read may bring would not fit -+
//
// The bound is a true one: a half reads only while its queue has room for a whole read, so that no more than
// `highBytes` ever wait, whatever the peers do. With rate limits it reads only while its bucket allows it, too (meter.ts).

import type { Direction, Flow } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Dialogue } from './dialogue.ts'
import type { Meter } from '../limits/meter.ts'

export interface BufferOptions {
  /** No more than this waits in a half. */
  highBytes: number
  /** A paused half reads again when no more than this waits (and a whole read fits). */
  lowBytes: number
  /** What one read can bring; at most `highBytes`. */
  readBytes: number
}

/** Why a source is not read; a set of bits, and it is read only when none is left. */
const SINK = 1
const BUCKET = 2
const DIALOGUE = 4

export class Half {
  readonly direction: Direction
  source: Endpoint
  sink: Endpoint
  readonly flow: Flow
  readonly #dialogue: Dialogue | null
  readonly #buffers: BufferOptions
  /** The source sent FIN. */
  hasEnded = false
  /** What the rate limits say of this half; null, as it mostly is, where there are none. */
  meter: Meter | null = null
  #blockers = 0
  /** Changes whenever data passes; control traffic (pings) does not change it. What `idle` is judged by. */
  activity = 0

  constructor(direction: Direction, source: Endpoint, sink: Endpoint, flow: Flow, buffers: BufferOptions, dialogue: Dialogue | null) {
    this.direction = direction
    this.source = source
    this.sink = sink
    this.flow = flow
    this.#buffers = buffers
    this.#dialogue = dialogue
  }

  /**
   * The source is not read. Node does not read a paused socket at all, so neither its FIN nor its RST is seen until it is
   * resumed: where the sink does not keep up, its write deadline is what ends such a pair.
   */
  get isPaused(): boolean {
    return this.#blockers !== 0
  }

  /** The source is not read because the sink does not keep up. */
  get isBackpressured(): boolean {
    return (this.#blockers & SINK) !== 0
  }

  /** The source is not read because of a rate limit: nobody is to blame for the silence. */
  get isDelayed(): boolean {
    return (this.#blockers & BUCKET) !== 0
  }

  /** Takes what the source read; false when the source must pause. */
  relay(bytes: Buffer, length: number): boolean {
    this.flow.received += length
    if (this.meter !== null && !this.meter.takeBytes(length)) return true
    if (this.#dialogue === null) {
      this.activity++
      this.forward(bytes, 0, length)
    } else {
      this.#dialogue.relay(this, bytes, length)
    }
    return this.#mayRead()
  }

  /** Sends `bytes[start..end)` on to the sink. */
  forward(bytes: Buffer, start: number, end: number): void {
    this.flow.sent += end - start
    this.sink.write(bytes, start, end)
  }

  /** The dialogue can use nothing of the source now: what it sends next waits in its own socket. */
  hold(): void {
    this.#blockers |= DIALOGUE
  }

  /** Undoes `hold`. */
  letGo(): void {
    if ((this.#blockers & DIALOGUE) !== 0) this.#unblock(DIALOGUE)
  }

  /** Reads from another endpoint from here on. */
  readFrom(source: Endpoint): void {
    this.source = source
    this.hasEnded = false
    if (this.isPaused) source.pause()
  }

  /** Writes to another endpoint from here on. */
  writeTo(sink: Endpoint): void {
    this.sink = sink
    this.onSinkProgress()
  }

  #mayRead(): boolean {
    if (this.meter !== null && !this.meter.mayRead()) this.#blockers |= BUCKET
    const { highBytes, readBytes } = this.#buffers
    if (this.sink.queued > highBytes - readBytes) {
      if (!this.isBackpressured) this.flow.pauses++
      this.#blockers |= SINK
    }
    return this.#blockers === 0
  }

  /** The sink took bytes: reads on if there is room again. */
  onSinkProgress(): void {
    if (!this.isBackpressured) return
    const { highBytes, lowBytes, readBytes } = this.#buffers
    if (this.sink.queued > Math.min(lowBytes, highBytes - readBytes)) return
    this.#unblock(SINK)
  }

  /** The turn of this half at its bucket: what was held back goes on, then the source is read again if it may. */
  onTurn(): void {
    const held = this.meter!.takeHeld()
    if (held !== null) this.#dialogue!.relay(this, held, held.length)
    if (this.meter!.mayRead()) this.#unblock(BUCKET)
  }

  #unblock(blocker: number): void {
    this.#blockers &= ~blocker
    if (this.#blockers === 0) this.source.resume()
  }
}
