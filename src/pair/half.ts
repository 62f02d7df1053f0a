// One direction of a pair: reads from `source`, writes to `sink`, and reads no faster than the sink takes.
//
//     source --relay()--> [ dialogue looks at the bytes ] --forward()--> sink
//        ^                                                                |
//        +------ paused while what the next read may bring would not fit -+
//
// The bound is a true one: a half reads only while its queue has room for a whole read, so that no more than
// `highBytes` ever wait, whatever the peers do.

import type { Direction, Flow } from '../connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Dialogue } from './dialogue.ts'

export interface BufferOptions {
  /** No more than this waits in a half. */
  highBytes: number
  /** A paused half reads again when no more than this waits (and a whole read fits). */
  lowBytes: number
  /** What one read can bring; at most `highBytes`. */
  readBytes: number
}

export class Half {
  readonly direction: Direction
  readonly source: Endpoint
  readonly sink: Endpoint
  readonly flow: Flow
  readonly #dialogue: Dialogue | null
  readonly #buffers: BufferOptions
  /** The source sent FIN. */
  hasEnded = false
  /**
   * The source is not read because the sink does not keep up. Node does not read a paused socket at all, so neither its
   * FIN nor its RST is seen until it is resumed: the sink's write deadline is what ends such a pair.
   */
  isPaused = false
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

  /** Takes what the source read; false when the source must pause. */
  relay(bytes: Buffer, length: number): boolean {
    this.flow.received += length
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

  #mayRead(): boolean {
    const { highBytes, readBytes } = this.#buffers
    if (this.sink.queued <= highBytes - readBytes) return true
    if (!this.isPaused) this.flow.pauses++
    this.isPaused = true
    return false
  }

  /** The sink took bytes: reads on if there is room again. */
  onSinkProgress(): void {
    if (!this.isPaused) return
    const { highBytes, lowBytes, readBytes } = this.#buffers
    if (this.sink.queued > Math.min(lowBytes, highBytes - readBytes)) return
    this.isPaused = false
    this.source.resume()
  }
}
