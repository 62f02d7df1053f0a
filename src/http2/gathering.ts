// What a stream brings in one turn of the event loop, as one piece: small frames, such as messages of gRPC,
// cost the engine, the other side's frames and its socket no more than one large frame.
//
//     frame, frame, frame --> [ pieces ] --the turn's end, 16 KiB, or the stream's end--> take(all)
//
// Node calls back for each frame, and does what its callback has left due before it reads the next; so only
// the end of the turn tells that nothing more has come.

import type { Http2Stream } from 'node:http2'
import { Joiner } from './joiner.ts'

/** As much as one frame brings: a body in large frames does not wait. */
const ENOUGH = 16_384

const joiner = new Joiner()
let isJoining = false

export interface Turning {
  /** Runs in another turn. */
  later(run: () => void): void
}

export class Gathering {
  readonly #stream: Http2Stream
  readonly #turning: Turning
  readonly #take: (bytes: Buffer) => void
  #pieces: Buffer[] = []
  /** Bytes that wait for the end of the turn. */
  length = 0
  #isDue = false

  /** `take` gets bytes that are valid until it returns. */
  constructor(stream: Http2Stream, turning: Turning, take: (bytes: Buffer) => void) {
    this.#stream = stream
    this.#turning = turning
    this.#take = take
    stream.on('data', (piece: Buffer) => this.add(piece))
  }

  add(piece: Buffer): void {
    this.#pieces.push(piece)
    this.length += piece.length
    if (this.length >= ENOUGH) this.flush()
    else if (!this.#isDue) {
      this.#isDue = true
      this.#turning.later(() => this.#onTurn())
    }
  }

  #onTurn(): void {
    this.#isDue = false
    if (this.length === 0) return
    if (!this.#stream.isPaused()) this.flush()
    // Node keeps the bytes of a stream that was paused meanwhile; a destroyed one flushes them as it closes.
    else if (!this.#stream.destroyed) this.#stream.unshift(Buffer.concat(this.#clear()))
  }

  flush(): void {
    if (this.length === 0) return
    const pieces = this.#clear()
    if (pieces.length === 1) return this.#take(pieces[0]!)
    // Another stream is flushed while a taker still reads what was joined for it.
    if (isJoining) return this.#take(Buffer.concat(pieces))
    isJoining = true
    try {
      this.#take(joiner.join(pieces))
    } finally {
      isJoining = false
    }
  }

  #clear(): Buffer[] {
    const pieces = this.#pieces
    this.#pieces = []
    this.length = 0
    return pieces
  }
}
