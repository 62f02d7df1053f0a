// A stream of a kept session as the upstream endpoint of one request: the engine writes HTTP/1.1 here and reads HTTP/1.1, the service gets and
// gives HTTP/2.
//
//     engine --write--> MessageReader --head--> request on a session       --> service
//                                     --data--> StreamBody                 -->
//            <-onBytes- StreamAnswer  <--------------------------------------
//
// A service that refuses the stream unseen (REFUSED_STREAM, a GOAWAY that leaves it out) is asked again on another session, as long as all of the
// request is still here. Whatever else ends a stream before its answer is whole is the end of the endpoint. It carries one request: however
// the engine parts from it, what is not whole is cancelled.

import type { ClientHttp2Stream } from 'node:http2'
import type { Connection } from '../core/connection.ts'
import { http2Codes } from '../core/close.ts'
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
import { outgoingRequest } from './request-head.ts'
import type { OutgoingRequest } from './request-head.ts'
import type { Sending, SendWindow } from './send-window.ts'
import { StreamAnswer } from './stream-answer.ts'
import type { AnswerTaker } from './stream-answer.ts'
import { StreamBody } from './stream-body.ts'
import type { SessionTaker, UpstreamSession } from './upstream-session.ts'

/** Where a stream comes from, and where it finds another session. */
export interface StreamHome {
  readonly scheme: 'http' | 'https'
  readonly authority: string
  seek(taker: SessionTaker): AwaitedStream | null
  /** In another turn: an endpoint never calls from within its own methods. */
  later(run: () => void): void
}

/** A request is sent so many times at the most. */
const MAX_TRIES = 3

export class UpstreamStream implements Endpoint, MessageSink, AnswerTaker, SessionTaker, Sending {
  readonly side = 'upstream'
  /** What a stream holds in its service nobody tells. */
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
  /** Of the answer, what came while nobody read. */
  #held: Buffer[] = []
  /** Why it has ended, where that comes behind what is held. */
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

  /** What waits for the others of its session is not for its service to take. */
  get unacked(): number {
    return this.carrier.excuses(this) ? 0 : this.queued
  }

  /** Of its request, what was given to Node. */
  get given(): number {
    return this.#body.given
  }

  get carrier(): SendWindow {
    return this.#session.sendWindow
  }

  /** Of the answer, what came and is not handed on yet. */
  get unread(): number {
    return (this.#stream?.readableLength ?? 0) + this.#held.reduce((sum, { length }) => sum + length, 0)
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
    this.#tries++
    const stream = this.#session.request(headers, {
      endStream: framing.kind === 'none',
      // Of calls no trailers come, and a frame of its own for their end is spared.
      waitForTrailers: framing.kind === 'chunked' && !isGrpc,
    })
    this.#stream = stream
    this.#answer = new StreamAnswer(stream, method, this)
    stream.on('close', () => this.#onStreamClosed(stream))
    if (framing.kind !== 'none') this.#body.attach(stream)
  }

  #onTaken(): void {
    this.carrier.onTaken()
    this.owner.onProgress(this)
  }

  onAnswerBegun(): void {
    this.#body.forget()
  }

  onAnswerBytes(bytes: Buffer): void {
    if (this.#isClosed) return
    if (this.isPaused) this.#held.push(Buffer.from(bytes))
    else if (!this.owner.onBytes(this, bytes, bytes.length)) this.pause()
  }

  pause(): void {
    this.isPaused = true
    // What is kept of a stream that is gone holds nothing of its session.
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
    // Before its head there is nothing to read, and reading would lose what comes with it.
    if (this.#answer?.hasHead === true) this.#stream!.resume()
  }

  #onStreamClosed(stream: ClientHttp2Stream): void {
    this.#session.leave(this)
    this.#answer!.salvage()
    if (this.#isClosed || this.#answer!.isComplete) return
    if (this.#isWorthRetrying(stream)) this.#awaited = this.#home.seek(this)
    else if (this.#held.length > 0) this.#failure = this.#session.whyClosed(stream)
    else this.#fail(this.#session.whyClosed(stream))
  }

  /** The service has not looked at it. */
  #isWorthRetrying(stream: ClientHttp2Stream): boolean {
    return (
      this.#body.isRepeatable &&
      this.#tries < MAX_TRIES &&
      (stream.rstCode === http2Codes.REFUSED_STREAM || this.#session.hasLeftOut(stream))
    )
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
    // Node keeps a stream that ended well, and its session, until what came on it is read.
    else this.#stream.destroy()
    if (end !== null) this.#session.hearOf(end)
    this.#home.later(() => this.owner.onClosed(this, null))
  }

  /** A reset of what is done all the same would look like an attack to a service that counts them. */
  #part(stream: ClientHttp2Stream, end: Close | null): void {
    if (this.#answer!.isWhole && stream.writableEnded && this.queued === 0) this.#session.letEnd(stream)
    else this.#session.reset(stream, serviceCode(end))
  }
}
