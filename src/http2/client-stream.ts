// A stream of a client as the client endpoint of one request: the engine reads and writes HTTP/1.1 here, the
// client HTTP/2.
//
//     client --HEADERS--> (readRequest: the engine begins with it)
//            --DATA-----> [ its chunks, or as it is ] --onBytes--> engine
//            <--HEADERS-- AnswerReader <--write-- engine
//            <--DATA----- [ waiting ] <--
//
// Node takes one write at a time and calls back when all of it went into frames, so waiting bytes are counted
// here, frame by frame. A cut answer never looks complete: END_STREAM goes only after all of it, and every
// other end of a stream is RST_STREAM with the code of the reason.

import type { ServerHttp2Stream } from 'node:http2'
import type { Manner } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Carrier, Endpoint, EndpointOwner, LookedAt } from '../endpoint/endpoint.ts'
import { KeptBytes } from '../endpoint/kept-bytes.ts'
import { UNKNOWN } from '../endpoint/no-endpoint.ts'
import type { Framing } from '../http1/body.ts'
import { NO_FIELDS } from '../http1/fields.ts'
import type { Fields } from '../http1/fields.ts'
import type { AnswerHead } from '../http1/head.ts'
import { inChunks } from './chunks.ts'
import { fieldsByName, trailersText } from './fields.ts'
import type { RawFields } from './fields.ts'
import { askForTrailers, own } from './owned-stream.ts'
import type { StreamOwner } from './owned-stream.ts'
import { watchEnd } from './watch-end.ts'
import { keepInPieces, PIECE, writePieces } from './write-pieces.ts'
import { answerFields, AnswerReader } from './client-answer.ts'
import type { AnswerSink } from './client-answer.ts'
import type { StreamRequest } from './client-request.ts'
import { Gathering } from './gathering.ts'
import { dropStream } from './reset-stream.ts'
import { nobody } from './nobody.ts'
import { codeName, NO_ERROR, streamCode } from './codes.ts'
import type { Flowing } from './flow.ts'
import type { StreamHome } from './stream-home.ts'

const NONE: RawFields = []

export class ClientStream implements Endpoint, AnswerSink, Flowing, StreamOwner {
  readonly side = 'client'
  owner: EndpointOwner = nobody
  readonly #stream: ServerHttp2Stream
  readonly connection: Connection
  readonly #body: StreamRequest['body']
  readonly #answer: AnswerReader
  readonly #home: StreamHome
  readonly #waiting = new KeptBytes()
  /** Its request's body; null where HEADERS were the whole request. */
  #gathering: Gathering | null = null
  window = 0
  /** Bytes given to Node, and how many of them went into frames. */
  #inFlight = 0
  #framed = 0
  /** The end of its last DATA in the bytes sent on its connection. */
  sentTo = 0
  #trailers: Fields = NO_FIELDS
  #requestTrailers: RawFields = NONE
  #isTunnel = false
  /** Nothing is written after the waiting bytes. */
  #isEnding = false
  /** RST_STREAM follows the waiting bytes. */
  #isDelivering = false
  #hasEnd = false
  #isParted = false
  /** END_STREAM of the answer is in a frame. */
  #isSent = false
  #isClosed = false
  /** The stream is gone; its owner hears of it after it has closed the endpoint. */
  #isFallen = false

  constructor(
    stream: ServerHttp2Stream,
    connection: Connection,
    { request, body, isEnd }: StreamRequest & { isEnd: boolean },
    home: StreamHome,
  ) {
    this.#stream = stream
    this.connection = connection
    this.#body = body
    this.#home = home
    this.#answer = new AnswerReader(request.method, this)
    own(stream, this)
    if (isEnd) {
      this.#hasEnd = true
      // Only its end is left to read. Node closes a stream that nobody reads by itself.
      stream.read()
    } else {
      this.#readRequest(stream)
    }
  }

  #readRequest(stream: ServerHttp2Stream): void {
    // The end came in the same read as the head, before a listener was there.
    this.#hasEnd = stream.state.remoteClose === 1
    watchEnd(stream, () => (this.#hasEnd = true))
    stream.on('trailers', (_headers, _flags, fields) => (this.#requestTrailers = fields))
    stream.pause()
    this.#gathering = new Gathering(stream, this.#home, (bytes) => this.#onData(bytes))
    stream.on('end', () => this.#onRequestEnd())
  }

  get queued(): number {
    return this.#inFlight - this.#framed + this.#waiting.length
  }

  /** Bytes that wait for the connection are not this stream's fault: the connection is judged for them. */
  get unacked(): number {
    return this.#isShut ? this.queued : 0
  }

  /** Bytes wait, and not for the window of the stream. */
  get isWaitingForConnection(): boolean {
    return this.queued > 0 && !this.#isShut
  }

  /** The client has got what was sent of the stream, and opens no window for more. */
  get #isShut(): boolean {
    return this.window <= 0 && this.#home.hasTaken(this.sentTo)
  }

  get carrier(): Carrier {
    return this.#home
  }

  get measurements(): number {
    return this.#home.socket.measurements
  }

  /** Bytes of the request that came and are not passed on yet. */
  get unread(): number {
    return this.#stream.readableLength + (this.#gathering?.length ?? 0)
  }

  onFramed(bytes: number): void {
    this.#framed += bytes
    this.sentTo = this.#home.flow.dataAt
  }

  get maxHead(): number {
    return this.#stream.session?.remoteSettings.maxHeaderListSize ?? Number.POSITIVE_INFINITY
  }

  get openedAt(): number {
    return this.connection.openedAt
  }

  get isAnswered(): boolean {
    return this.#stream.headersSent
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  get hasWholeRequest(): boolean {
    return this.#hasEnd
  }

  /** Bytes wait for a window of the client. */
  get isStuck(): boolean {
    return this.queued > 0 && (this.window <= 0 || this.#home.flow.isShut)
  }

  get isBroken(): boolean {
    return this.#stream.closed
  }

  /** Measures the bytes on their way to the client. */
  measure(): void {
    this.#home.socket.measure()
  }

  look(): LookedAt {
    return UNKNOWN
  }

  #onData(bytes: Buffer): void {
    if (this.#isParted) return
    if (this.#body === 'chunked') inChunks(bytes, (chunk) => this.#give(chunk))
    else this.#give(bytes)
  }

  #give(bytes: Buffer): void {
    if (!this.owner.onBytes(this, bytes, bytes.length)) this.pause()
  }

  #onRequestEnd(): void {
    this.#gathering!.flush()
    if (!this.#hasEnd) return
    if (this.#body === 'raw') return this.owner.onEnd(this)
    if (this.#body === 'chunked' && !this.#isParted)
      this.#give(Buffer.from(trailersText(this.#requestTrailers), 'latin1'))
  }

  pause(): void {
    if (this.#gathering === null) return
    this.#stream.pause()
    this.#home.windows.onStalled(this)
  }

  resume(): void {
    this.#stream.resume()
    this.#home.windows.onRead(this)
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (!this.#isEnding && !this.isBroken) this.#answer.read(bytes, start, end)
  }

  writeHead(head: string): void {
    if (!this.#isEnding && !this.isBroken) this.#answer.readHead(head)
  }

  onInterim({ status, headers }: AnswerHead): void {
    const fields = fieldsByName(headers.list.filter(({ name }) => !name.isHopByHop))
    this.#stream.additionalHeaders({ ':status': status, ...fields })
  }

  onAccepted(head: AnswerHead): void {
    this.#isTunnel = true
    this.#stream.respond(answerFields(head), { sendDate: false } as object)
  }

  onHead(head: AnswerHead, { kind }: Framing): void {
    // Trailers, perhaps none, which Node asks for once all else is in frames.
    const waitForTrailers = kind === 'chunked'
    if (waitForTrailers) askForTrailers(this.#stream)
    this.#stream.respond(answerFields(head), {
      endStream: kind === 'none',
      waitForTrailers,
      sendDate: false,
    } as object)
  }

  data(bytes: Buffer, start: number, end: number): void {
    keepInPieces(this.#waiting, bytes, start, end)
    this.#pump()
  }

  onEnd(trailers: Fields): void {
    this.#trailers = trailers
    this.end()
  }

  sendTrailers(): void {
    this.#stream.sendTrailers(fieldsByName(this.#trailers.list))
  }

  #pump(): void {
    const stream = this.#stream
    if (this.#inFlight === 0 && this.#waiting.length > 0) this.#send(stream)
    // In one turn with the last piece where possible, so that its frame carries END_STREAM.
    if (this.#waiting.length > 0 || !this.#isEnding || stream.writableEnded) return
    // A tunnel has no frame to spare, and its client may close the stream before the callback of the write:
    // the pair would not see its Close frame taken.
    if (this.#isTunnel && this.#inFlight > 0) return
    if (this.#isWhole) stream.end()
    else if (this.#inFlight === 0) this.#reset()
  }

  /** Everything due to the client was written here. */
  get #isWhole(): boolean {
    return !this.#isDelivering && (this.#isTunnel || this.#answer.isComplete)
  }

  #send(stream: ServerHttp2Stream): void {
    const pieces = this.#waiting.takeUpTo(PIECE)
    for (const piece of pieces) this.#inFlight += piece.length
    writePieces(stream, pieces.length === 1 ? pieces : [Buffer.concat(pieces)], () => this.#onWritten())
  }

  #onWritten(): void {
    if (this.isBroken) return
    this.#inFlight = this.#framed = 0
    this.#pump()
    this.owner.onProgress(this)
  }

  cork(): void {}
  uncork(): void {}
  keepAlive(): void {}

  end(): void {
    this.#isEnding = true
    this.#pump()
  }

  conclude(): void {
    this.close('flush')
  }

  close(manner: Manner): void {
    if (this.#isFallen) return this.#home.later(() => this.#tell(null))
    this.#isParted ||= !this.#isTunnel
    if (manner === 'flush' || manner === 'deliver') {
      this.#isDelivering ||= manner === 'deliver'
      this.end()
      this.#cancelRest()
      this.resume()
    } else {
      this.#reset()
    }
  }

  onEnded(): void {
    this.#isSent = true
    // Node is in the middle of a write.
    if (this.#isParted) this.#home.later(() => this.#cancelRest())
  }

  /**
   * The rest of an answered request is of no use (RFC 9113 section 8.1). The frames of the answer have passed
   * by then: nghttp2 drops those that wait for their connection, the head as well, for an RST_STREAM. So a
   * complete request gets none.
   */
  #cancelRest(): void {
    if (this.#isSent && this.#isParted && !this.#hasEnd && !this.isBroken) this.#stream.close(NO_ERROR)
  }

  #reset(): void {
    dropStream(this.#stream, streamCode(this.connection.end))
  }

  onStreamClosed(): void {
    this.#gathering?.flush()
    this.#home.flow.close(this.#stream.id!, this)
    // The session's reason ends it, unless it ends already.
    if (this.#home.isFalling && this.connection.end === null) this.#isFallen = true
    else this.#tell(this.#error())
  }

  #tell(error: NodeJS.ErrnoException | null): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.owner.onClosed(this, error)
  }

  #error(): NodeJS.ErrnoException | null {
    const { rstCode } = this.#stream
    if (this.connection.end !== null || (this.#hasEnd && rstCode === NO_ERROR)) return null
    return Object.assign(new Error(codeName(rstCode)), { code: 'RST_STREAM' })
  }
}
