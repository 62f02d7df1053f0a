// A stream of a client as the client endpoint of one request: the engine reads HTTP/1.1 here and writes HTTP/1.1, the client gives and gets HTTP/2.
//
//     client --HEADERS--> (readRequest: the engine begins with it)
//            --DATA-----> [ its chunks, or as it is ] --onBytes--> engine
//            <--HEADERS-- AnswerReader <--write-- engine
//            <--DATA----- [ waiting ] <--
//
// Node takes one write at a time and tells when all of it went into frames, so what waits is counted here and falls as it goes. A cut answer is
// never passed off as a whole one: END_STREAM is sent only behind all of it, and whatever else ends a stream is RST_STREAM with the code of the reason.

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
import { watchEnd } from './watch-end.ts'
import { keepInPieces, PIECE, writePieces } from './write-pieces.ts'
import { answerFields, AnswerReader } from './client-answer.ts'
import type { AnswerSink } from './client-answer.ts'
import type { StreamRequest } from './client-request.ts'
import { resetStream } from './reset-stream.ts'
import { nobody } from './nobody.ts'
import { codeName, NO_ERROR, streamCode } from './codes.ts'
import type { Flowing } from './flow.ts'
import type { StreamHome } from './stream-home.ts'

const NONE: RawFields = []

const kClient = Symbol('client')
type OwnedStream = ServerHttp2Stream & { [kClient]?: ClientStream | undefined }

export class ClientStream implements Endpoint, AnswerSink, Flowing {
  readonly side = 'client'
  owner: EndpointOwner = nobody
  readonly #stream: ServerHttp2Stream
  readonly connection: Connection
  readonly #body: StreamRequest['body']
  readonly #answer: AnswerReader
  readonly #home: StreamHome
  readonly #waiting = new KeptBytes()
  /** Its HEADERS were not all of its request. */
  readonly #hasMore: boolean
  window = 0
  /** Given to Node; and of that, what went into frames. */
  #inFlight = 0
  #framed = 0
  /** Where its last DATA ends in what was sent of its connection. */
  #dataAt = 0
  #trailers: Fields = NO_FIELDS
  #requestTrailers: RawFields = NONE
  #isTunnel = false
  /** Nothing is written behind what waits. */
  #isEnding = false
  /** RST_STREAM follows what waits. */
  #isDelivering = false
  #hasEnd = false
  #isParted = false
  #isClosed = false
  /** It is gone, and its owner is told once it has closed it. */
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
    this.#hasMore = !isEnd
    const owned: OwnedStream = stream
    owned[kClient] = this
    stream.on('close', onClose)
    if (isEnd) {
      this.#hasEnd = true
      // There is nothing to read but its end.
      stream.pause()
      stream.read()
    } else {
      this.#readRequest(stream)
    }
  }

  #readRequest(stream: ServerHttp2Stream): void {
    // What came with the head in one read is behind us already.
    this.#hasEnd = stream.state.remoteClose === 1
    watchEnd(stream, () => (this.#hasEnd = true))
    stream.on('trailers', (_headers, _flags, fields) => (this.#requestTrailers = fields))
    stream.on('finish', () => this.#onAllSent())
    stream.pause()
    stream.on('data', (chunk: Buffer) => this.#onData(chunk))
    stream.on('end', () => this.#onRequestEnd())
  }

  get queued(): number {
    return this.#inFlight - this.#framed + this.#waiting.length
  }

  /** Of what waits for its connection the stream's client is not to blame: the connection is judged for that. */
  get unacked(): number {
    return this.#isShut ? this.queued : 0
  }

  /** Something waits, and not for the window of the stream. */
  get isWaitingForConnection(): boolean {
    return this.queued > 0 && !this.#isShut
  }

  /** Its client has got what was sent of it, and opens no window for more. */
  get #isShut(): boolean {
    return this.window <= 0 && this.#home.hasTaken(this.#dataAt)
  }

  get carrier(): Carrier {
    return this.#home
  }

  get measurements(): number {
    return this.#home.socket.measurements
  }

  /** Of the request, what came and is not handed on yet. */
  get unread(): number {
    return this.#stream.readableLength
  }

  onFramed(bytes: number): void {
    this.#framed += bytes
    this.#dataAt = this.#home.flow.dataAt
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Why it cannot come to its end once its client has ended, in words for the log; null if it can. */
  get lostWithClient(): string | null {
    if (!this.#hasEnd) return 'left before its request was complete'
    const isShut = this.window <= 0 || this.#home.flow.isShut
    return this.queued > 0 && isShut ? 'left before it had taken its answer' : null
  }

  get isBroken(): boolean {
    return this.#stream.closed || this.#stream.destroyed
  }

  /** What of it is on its way to the client. */
  measure(): void {
    this.#home.socket.measure()
  }

  look(): LookedAt {
    return UNKNOWN
  }

  #onData(chunk: Buffer): void {
    if (this.#isParted || this.#body === 'none') return
    if (this.#body === 'chunked') inChunks(chunk, (piece) => this.#give(piece))
    else this.#give(chunk)
  }

  #give(bytes: Buffer): void {
    if (!this.owner.onBytes(this, bytes, bytes.length)) this.pause()
  }

  #onRequestEnd(): void {
    if (!this.#hasEnd || this.#isClosed) return
    if (this.#body === 'raw') return this.owner.onEnd(this)
    if (this.#body === 'chunked' && !this.#isParted)
      this.#give(Buffer.from(trailersText(this.#requestTrailers), 'latin1'))
  }

  pause(): void {
    if (!this.#hasMore) return
    this.#stream.pause()
    this.#home.windows.onStalled(this)
  }

  resume(): void {
    if (!this.#hasMore || this.#isClosed) return
    this.#stream.resume()
    this.#home.windows.onRead(this)
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (!this.#isEnding && !this.isBroken) this.#answer.read(bytes, start, end)
  }

  writeHead(head: string): void {
    if (!this.#isEnding && !this.isBroken) this.#answer.readHead(head)
  }

  onInterim(head: AnswerHead): void {
    // To a client that waits for it Node says it by itself.
    if (head.status !== 100) this.#stream.additionalHeaders(interimFields(head))
    else this.#stream.additionalHeaders({ ':status': 100 })
  }

  onAccepted(head: AnswerHead): void {
    this.#isTunnel = true
    this.#stream.respond(answerFields(head), { sendDate: false } as object)
  }

  onHead(head: AnswerHead, { kind }: Framing): void {
    if (kind === 'chunked') this.#stream.on('wantTrailers', onWantTrailers)
    this.#stream.respond(answerFields(head), {
      endStream: kind === 'none',
      waitForTrailers: kind === 'chunked',
      sendDate: false,
    } as object)
  }

  data(bytes: Buffer, start: number, end: number): void {
    keepInPieces(this.#waiting, bytes, start, end)
    this.#pump()
  }

  onEnd(trailers: Fields): void {
    this.#trailers = trailers
    this.#isEnding = true
    this.#pump()
  }

  sendTrailers(): void {
    if (!this.#stream.closed) this.#stream.sendTrailers(fieldsByName(this.#trailers.list))
  }

  #pump(): void {
    const stream = this.#stream
    if (stream.closed || stream.destroyed) return
    if (this.#inFlight === 0 && this.#waiting.length > 0) this.#send(stream)
    // In one turn with the last piece where that is possible, so that its frame says so.
    if (this.#waiting.length > 0 || !this.#isEnding || stream.writableEnded) return
    if (this.#isWhole) stream.end()
    else if (this.#inFlight === 0) this.#reset()
  }

  /** All that it was to get was written here. */
  get #isWhole(): boolean {
    return !this.#isDelivering && (this.#isTunnel || this.#answer.isComplete)
  }

  #send(stream: ServerHttp2Stream): void {
    const pieces = this.#waiting.takeUpTo(PIECE)
    for (const piece of pieces) this.#inFlight += piece.length
    writePieces(stream, pieces.length === 1 ? pieces : [Buffer.concat(pieces)], () => this.#onWritten())
  }

  #onWritten(): void {
    if (this.#isClosed || this.isBroken) return
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
    if (this.#isClosed) return
    if (this.#isFallen) return this.#home.later(() => this.#tell(null))
    this.#isParted ||= !this.#isTunnel
    if (manner === 'flush') {
      this.end()
      if (this.#stream.writableFinished) this.#onAllSent()
      this.resume()
    } else if (manner === 'deliver') {
      this.#isDelivering = true
      this.end()
      this.resume()
    } else {
      this.#reset()
    }
  }

  /** The rest of a request that was answered is of no use to anybody (RFC 9113 section 8.1). */
  #onAllSent(): void {
    if (this.#isParted && !this.#hasEnd && !this.#stream.closed) this.#stream.close(NO_ERROR)
  }

  #reset(): void {
    const stream = this.#stream
    resetStream(stream, streamCode(this.connection.end))
    stream.destroy()
  }

  onStreamClosed(): void {
    this.#home.flow.close(this.#stream.id!, this)
    if (this.#home.isFalling) this.#isFallen = true
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

// One for all streams: a listener of its own for each is what they would cost. What is closed lets go of all that was made for it, since
// Node may hold on to it for long (roll.ts).

function onClose(this: OwnedStream): void {
  const client = this[kClient]
  this[kClient] = undefined
  client?.onStreamClosed()
}

function onWantTrailers(this: OwnedStream): void {
  this[kClient]?.sendTrailers()
}

function interimFields({ status, headers }: AnswerHead): Record<string, string | number | string[]> {
  return { ':status': status, ...fieldsByName(headers.list.filter(({ name }) => !name.isHopByHop)) }
}
