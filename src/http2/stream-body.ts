// The body of a request on its way into a stream, a frame at a time: bytes that wait for the window of the
// stream, or for its connection, are counted here until they are taken. The first bytes are kept until the
// service answers: a request that the service did not look at is sent again.
//
//     data --> [ waiting ] --a piece--> Node --window, connection--> taken: onTaken, the next piece
//          \-> [ remembered ]  up to 16 KiB; then the request cannot be repeated any more
//
// Node takes one write at a time and calls back when all of it went out, so a piece is as fine as progress is
// seen. A peer opens its window by tens of kilobytes, so smaller ones would show no more.

import type { ClientHttp2Stream } from 'node:http2'
import { KeptBytes } from '../endpoint/kept-bytes.ts'
import { NO_FIELDS, type Fields } from '../http1/fields.ts'
import { outgoingFields } from './request-head.ts'
import { keepInPieces, PIECE, writePieces } from './write-pieces.ts'

const REMEMBERED = 16_384

export class StreamBody {
  readonly #onTaken: () => void
  #stream: ClientHttp2Stream | null = null
  readonly #waiting = new KeptBytes()
  #inFlight = 0
  /** Bytes that `stream` has got. */
  given = 0
  #remembered: KeptBytes | null = new KeptBytes()
  #isComplete = false
  #trailers: Fields = NO_FIELDS

  constructor(onTaken: () => void) {
    this.#onTaken = onTaken
  }

  get queued(): number {
    return this.#inFlight + this.#waiting.length
  }

  /** The whole body so far can be sent again. */
  get isRepeatable(): boolean {
    return this.#remembered !== null
  }

  /** The body is not sent again: the service has begun to answer. */
  forget(): void {
    this.#remembered = null
  }

  /** `stream` takes the body, from its beginning. */
  attach(stream: ClientHttp2Stream): void {
    this.#stream = stream
    stream.on('wantTrailers', () => stream.sendTrailers(outgoingFields(this.#trailers.list)))
    this.given = 0
    if (this.#waiting.length > REMEMBERED) this.#remembered = null
    this.#pump()
  }

  /** The body begins anew on a stream to come; all that comes until then waits for it. */
  detach(): void {
    this.#stream = null
    const all = this.#remembered!.peekAll()
    this.#waiting.clear()
    this.#inFlight = 0
    keepInPieces(this.#waiting, all, 0, all.length)
  }

  data(bytes: Buffer, start: number, end: number): void {
    this.#remember(bytes, start, end)
    keepInPieces(this.#waiting, bytes, start, end)
    this.#pump()
  }

  end(trailers: Fields): void {
    this.#isComplete = true
    this.#trailers = trailers
    this.#pump()
  }

  #remember(bytes: Buffer, start: number, end: number): void {
    const remembered = this.#remembered
    if (remembered === null) return
    // A stream that is closed, or to come, gets nothing yet: all of it waits, and can be sent.
    const isSent = this.#stream?.closed === false
    if (isSent && remembered.length + end - start > REMEMBERED) this.#remembered = null
    else remembered.append(bytes, start, end)
  }

  #pump(): void {
    const stream = this.#stream
    if (stream === null || stream.closed) return
    if (this.#inFlight === 0 && this.#waiting.length > 0) this.#send(stream)
    // In one turn with the last piece where possible, so that its frame carries END_STREAM.
    if (this.#isComplete && this.#waiting.length === 0 && !stream.writableEnded) stream.end()
  }

  #send(stream: ClientHttp2Stream): void {
    const pieces = this.#waiting.takeUpTo(PIECE)
    for (const piece of pieces) this.#inFlight += piece.length
    this.given += this.#inFlight
    writePieces(stream, pieces, () => this.#onWritten(stream))
  }

  #onWritten(stream: ClientHttp2Stream): void {
    if (stream.closed) return
    this.#inFlight = 0
    this.#pump()
    this.#onTaken()
  }
}
