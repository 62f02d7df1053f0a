// A stream of a kept session as the upstream endpoint of one request: the engine writes and reads HTTP/1.1
// here, the service HTTP/2.
//
//     engine --write--> MessageReader --head--> request on a session       --> service
//                                     --data--> StreamBody                 -->
//            <-onBytes- StreamAnswer  <--------------------------------------
//
// When a service refuses the stream unseen (REFUSED_STREAM, a GOAWAY that leaves it out), the request goes to
// another session, as long as all of it is still here. Any other end of a stream before its answer is
// complete ends the endpoint. The endpoint carries one request: however the engine leaves it, an incomplete
// stream is cancelled.

import type { ClientHttp2Stream } from 'node:http2'
import type { Connection } from '../core/connection.ts'
import { http2Codes, makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Endpoint, EndpointOwner, LookedAt } from '../endpoint/endpoint.ts'
import { UNKNOWN } from '../endpoint/no-endpoint.ts'
import type { Framing } from '../http1/body.ts'
import type { Fields } from '../http1/fields.ts'
import type { AwaitedStream } from '../upstream/streams.ts'
import { serviceCode } from './codes.ts'
import { MessageReader } from './message-reader.ts'
import type { MessageSink } from './message-reader.ts'
import { nobody } from './nobody.ts'
import { headSize, outgoingRequest } from './request-head.ts'
import type { OutgoingRequest } from './request-head.ts'
import type { Sending, SendWindow } from './send-window.ts'
import { StreamAnswer } from './stream-answer.ts'
import type { AnswerTaker } from './stream-answer.ts'
import { StreamBody } from './stream-body.ts'
import type { SessionTaker, UpstreamSession } from './upstream-session.ts'

/** The source of a stream, which also finds another session. */
export interface StreamHome {
  readonly scheme: 'http' | 'https'
  readonly authority: string
  seek(taker: SessionTaker): AwaitedStream | null
  /** Runs in another turn: an endpoint never calls its owner from within its own methods. */
  later(run: () => void): void
}

/** How often one request is sent at most. */
const MAX_TRIES = 3

export class UpstreamStream implements Endpoint, MessageSink, AnswerTaker, SessionTaker, Sending {
  readonly side = 'upstream'
  /** Nothing reports the bytes that a service holds of a stream. */
  readonly measurements = Number.POSITIVE_INFINITY
  owner: EndpointOwner = nobody
  readonly #home: StreamHome
  readonly #connection: Connection
  readonly #reader = new MessageReader(this)
  readonly #body = new StreamBody(() => this.#onTaken())
  #session: UpstreamSession
  #request: OutgoingRequest | null = null
  #stream: ClientHttp2Stream | null = null
  #answer: StreamAnswer | null = null
  #awaited: AwaitedStream | null = null
  #tries = 0
  isPaused = false
  /** Bytes of the answer that came while the endpoint was paused. */
  #held: Buffer[] = []
  /** Why the stream ended, to be reported after the held bytes. */
  #failure: NodeJS.ErrnoException | null = null
  #isClosed = false

  constructor(home: StreamHome, connection: Connection, session: UpstreamSession) {
    this.#home = home
    this.#connection = connection
    this.#session = session
  }

  get queued(): number {
    return this.#body.queued
  }

  /** Bytes that wait for other streams of the session are not the service's to take. */
  get unacked(): number {
    return this.carrier.excuses(this) ? 0 : this.queued
  }

  /** Bytes of the request that Node has got. */
  get given(): number {
    return this.#body.given
  }

  get carrier(): SendWindow {
    return this.#session.sendWindow
  }

  /** Bytes of the answer that came and are not passed on yet. */
  get unread(): number {
    return (this.#answer?.unread ?? 0) + this.#held.reduce((sum, { length }) => sum + length, 0)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (!this.#isClosed) this.#reader.read(bytes, start, end)
  }

  writeHead(head: string): void {
    if (!this.#isClosed) this.#reader.readHead(head)
  }

  onHead(text: string): Framing {
    this.#request = outgoingRequest(text, this.#home.scheme, this.#home.authority)
    this.#ask()
    return this.#request.framing
  }

  data(bytes: Buffer, start: number, end: number): void {
    this.#body.data(bytes, start, end)
  }

  onEnd(trailers: Fields): void {
    if (this.#request!.framing.kind !== 'none') this.#body.end(trailers)
  }

  #ask(): void {
    const { method, headers, framing, isGrpc } = this.#request!
    const size = headSize(headers)
    if (size > this.#session.maxHead) return this.#refuse(size)
    this.#tries++
    const stream = this.#session.request(headers, {
      endStream: framing.kind === 'none',
      // Calls have no trailers, so the extra frame for their end is saved.
      waitForTrailers: framing.kind === 'chunked' && !isGrpc,
    })
    this.#stream = stream
    this.#answer = new StreamAnswer(stream, method, this)
    stream.on('close', () => this.#onStreamClosed(stream))
    if (framing.kind !== 'none') this.#body.attach(stream)
  }

  /**
   * The service may end the whole session for a head that is over its SETTINGS_MAX_HEADER_LIST_SIZE (Netty
   * does), and the requests of all other clients on it.
   */
  #refuse(size: number): void {
    const words = `a request head of ${size} bytes for a service that takes ${this.#session.maxHead} (its SETTINGS_MAX_HEADER_LIST_SIZE)`
    const close = { ...makeClose('message_too_big', 'client', 'relay', words), httpStatus: 431 }
    this.#home.later(() => this.#connection.owner?.close(close))
  }

  #onTaken(): void {
    this.carrier.onTaken()
    this.owner.onProgress(this)
  }

  onAnswerBegun(): void {
    this.#body.forget()
  }

  later(run: () => void): void {
    this.#home.later(run)
  }

  onAnswerBytes(bytes: Buffer): void {
    if (this.#isClosed) return
    if (this.isPaused) this.#held.push(Buffer.from(bytes))
    else if (!this.owner.onBytes(this, bytes, bytes.length)) this.pause()
  }

  pause(): void {
    this.isPaused = true
    // Bytes kept of a closed stream use no window of its session.
    if (this.#stream?.closed !== true) this.#session.windows.onStalled(this)
    this.#stream?.pause()
  }

  resume(): void {
    if (!this.isPaused) return
    this.isPaused = false
    this.#session.windows.onRead(this)
    if (this.#held.length > 0 || this.#failure !== null) this.#home.later(() => this.#giveHeld())
    else this.#read()
  }

  #giveHeld(): void {
    while (this.#held.length > 0 && !this.isPaused) this.onAnswerBytes(this.#held.shift()!)
    if (this.isPaused || this.#isClosed) return
    if (this.#failure === null) this.#read()
    else this.#fail(this.#failure)
  }

  #read(): void {
    // Before the head there is nothing to read, and reading would lose the bytes that come with it.
    if (this.#answer?.hasHead === true) this.#stream!.resume()
  }

  #onStreamClosed(stream: ClientHttp2Stream): void {
    this.#session.leave(this)
    this.#answer!.salvage()
    if (this.#isClosed || this.#answer!.isComplete) return
    if (this.#isWorthRetrying(stream)) this.#seekAgain()
    else if (this.#held.length > 0) this.#failure = this.#whyClosed(stream)
    else this.#fail(this.#whyClosed(stream))
  }

  #whyClosed(stream: ClientHttp2Stream): NodeJS.ErrnoException {
    return this.#session.whyClosed(stream, this.#answer!.progress)
  }

  /** The service has not looked at the request. */
  #isWorthRetrying(stream: ClientHttp2Stream): boolean {
    return (
      this.#body.isRepeatable &&
      this.#tries < MAX_TRIES &&
      (stream.rstCode === http2Codes.REFUSED_STREAM || this.#session.hasLeftOut(stream))
    )
  }

  #seekAgain(): void {
    this.#body.detach()
    this.#awaited = this.#home.seek(this)
  }

  onSession(session: UpstreamSession): void {
    this.#session = session
    session.join(this)
    if (this.isPaused) session.windows.onStalled(this)
    this.#ask()
  }

  onNoSession({ reason, detail }: Close): void {
    this.#fail(Object.assign(new Error(detail ?? reason), { code: reason }))
  }

  #fail(error: NodeJS.ErrnoException): void {
    this.#isClosed = true
    this.owner.onClosed(this, error)
  }

  measure(): void {}

  look(): LookedAt {
    return UNKNOWN
  }

  cork(): void {}
  uncork(): void {}

  keepAlive(ms: number): void {
    this.#session.keepAlive(ms)
  }

  end(): void {
    this.close()
  }

  conclude(): void {
    this.close()
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#awaited?.cancel()
    this.#held = []
    const { end } = this.#connection
    if (this.#stream === null) this.#session.leave(this)
    else if (!this.#stream.closed) this.#part(this.#stream, end)
    // Node keeps a stream that ended well, and its session, until its received bytes are read.
    else this.#stream.destroy()
    if (end !== null) this.#session.noteStreamEnd(end)
    this.#home.later(() => this.owner.onClosed(this, null))
  }

  /** A reset of a stream that is done anyway would look like an attack to a service that counts resets. */
  #part(stream: ClientHttp2Stream, end: Close | null): void {
    if (this.#answer!.isWhole && stream.writableEnded && this.queued === 0) this.#session.awaitEnd(stream)
    else this.#session.reset(stream, serviceCode(end))
  }
}
