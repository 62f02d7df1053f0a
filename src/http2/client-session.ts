// The HTTP/2 connection of a client, as the dialogue of a pair whose upstream is node:http2 (wire.ts). The
// pair judges the connection: its turns, its bytes, its writes, its age. Each stream has its own connection
// record, whose client endpoint is the stream (client-stream.ts), and the HTTP/1.1 engine serves and judges
// it.
//
//     SETTINGS --> streams <--> rest --http.keepAlive--> gone
//         an end that can wait: GOAWAY for all coming streams --two round trips--> final GOAWAY --the last stream--> gone

import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import { http2Codes, makeClose, reasonRow, type Close } from '../core/close.ts'
import { Connection, letReturn, type Session } from '../core/connection.ts'
import { bugDetail, InvariantError } from '../core/errors.ts'
import type { Farewell } from '../core/manner.ts'
import { nodeHttp2 } from '../core/late.ts'
import { NOTHING } from '../core/nothing.ts'
import { Roll } from '../core/roll.ts'
import type { Wait } from '../core/wait.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Dialogue, Watched } from '../pair/dialogue.ts'
import type { Half } from '../pair/half.ts'
import { Pair } from '../pair/pair.ts'
import { readRequest, type StreamRequest } from './client-request.ts'
import type { RawFields } from './fields.ts'
import { ClientStream } from './client-stream.ts'
import { codeName, connectionCode, NO_ERROR } from './codes.ts'
import type { ClientFlow } from './flow.ts'
import { afterRoundTrips, ALL_STREAMS, ROUND_TRIPS_MS } from './goaway.ts'
import { endLost } from './lost-streams.ts'
import type { Http2Context, Http2Options } from './options.ts'
import { resetStream } from './reset-stream.ts'
import { SessionFrames } from './session-frames.ts'
import { sessionSettings } from './session-settings.ts'
import { SessionWaits } from './session-waits.ts'
import { SharedWindows } from './shared-windows.ts'
import { spareOthers } from './stream-faults.ts'
import type { StreamHome } from './stream-home.ts'
import { recordOfStream } from './stream-record.ts'
import { refuseMalformed, refuseTooBig } from './unserved.ts'
import { Wire } from './wire.ts'

const END_STREAM = 1
/**
 * Of the connection, eight times that of a stream: on a long way each of so many uploads goes on as if it
 * were alone. The windows of the streams bound the bytes that stay here.
 */
const WINDOW = 512 * 1024
export class ClientSession implements Dialogue, Session, StreamHome {
  readonly id: number
  readonly #connection: Connection
  readonly #options: Http2Options
  readonly #context: Http2Context
  readonly #wire: Wire
  readonly #pair: Pair
  readonly #session: ServerHttp2Session
  /** By the ids of their records. */
  readonly #streams = new Roll<ClientStream>()
  readonly #frames: SessionFrames
  readonly flow: ClientFlow
  readonly windows: SharedWindows
  #lastId = 0
  readonly #waits: SessionWaits
  #hasClientEnded = false
  /** The end as Node, or the client, has reported it. */
  #said: Close | null = null
  /** An end that waits for the streams; `since` is the time of the first GOAWAY. */
  #leaving: { close: Close; since: number; isAsked: boolean; isFinal: boolean } | null = null
  #isOver = false

  constructor(connection: Connection, client: Endpoint, options: Http2Options, context: Http2Context) {
    this.id = connection.id
    this.#connection = connection
    this.#options = options
    this.#context = context
    this.#frames = new SessionFrames(context.clock, options)
    this.flow = this.#frames.flow
    this.#waits = new SessionWaits(options, this.#frames, connection.openedAt, context)
    this.#wire = new Wire((run) => context.clock.nextTurn(run))
    const parts = { options: options.pair, context, dialogue: this }
    this.#pair = new Pair(connection, { client, upstream: this.#wire }, parts)
    this.#session = nodeHttp2().performServerHandshake(this.#wire.duplex, sessionSettings(options))
    this.#session.setLocalWindowSize(WINDOW)
    this.windows = new SharedWindows(this.#session)
    this.#listen(this.#session)
  }

  start(early: Buffer): void {
    this.#pair.start(early, NOTHING)
  }

  get isHeld(): boolean {
    return this.#pair.toUpstream.isPaused
  }

  lastDrainAt(): number {
    return Math.min(this.#pair.lastDrainAt('client'), this.#waits.lastDrainAt)
  }

  get takenTo(): number {
    return this.flow.sent - this.socket.unacked
  }

  hasTaken(bytes: number): boolean {
    // The system's last report may be old.
    if (this.takenTo < bytes && this.socket.queued === 0) this.socket.measure()
    return this.takenTo >= bytes
  }

  get socket(): Endpoint {
    return this.#pair.toClient.sink
  }

  #listen(session: ServerHttp2Session): void {
    spareOthers(session)
    session.on('stream', (stream, _headers, flags, fields) => {
      this.#onStream(stream, fields, (flags & END_STREAM) !== 0)
    })
    session.on('remoteSettings', ({ initialWindowSize }) => {
      this.#waits.hasSettings = true
      this.flow.setInitial(initialWindowSize!)
    })
    session.on('goaway', (code: number) => {
      this.#said =
        code === NO_ERROR
          ? makeClose('eof', 'client', 'relay')
          : makeClose('aborted', 'client', 'relay', `GOAWAY with ${codeName(code)}`)
    })
    session.on('error', (error: Error) => {
      this.#said ??= makeClose('protocol_error', 'client', 'relay', error.message)
    })
  }

  /**
   * Ended streams that are not cleaned up yet do not count: the client may open others (RFC 9113 section
   * 5.1.2).
   */
  get #isFull(): boolean {
    const { maxStreams } = this.#options
    if (this.#streams.size < maxStreams) return false
    let open = 0
    for (const { isBroken } of this.#streams) if (!isBroken) open++
    return open >= maxStreams
  }

  #onStream(stream: ServerHttp2Stream, fields: RawFields, isEnd: boolean): void {
    stream.on('error', ignore)
    if (this.#isOver) return void stream.destroy()
    if (this.#isFull) return resetStream(stream, http2Codes.REFUSED_STREAM)
    this.#lastId = stream.id!
    const read = readRequest(fields, isEnd)
    const connection = recordOfStream(this.#connection, this, this.#context)
    if (typeof read === 'string') return refuseMalformed(connection, stream, read, this.#context)
    connection.isOneTooMany = !this.#context.strain.claims.hasRoom
    const client = new ClientStream(stream, connection, { ...read, isEnd }, this)
    this.flow.open(stream.id!, client)
    this.#streams.add(connection.id, client)
    this.#context.strain.claims.add(1)
    if (read.headBytes > this.#options.maxHeaderBytes)
      return refuseTooBig(connection, client, read.request, this.#context)
    try {
      this.#serve(connection, client, read)
    } catch (error) {
      if (!(error instanceof InvariantError)) throw error
      connection.owner?.close(makeClose('internal_error', 'sidegate', connection.phase, bugDetail(error)))
    }
  }

  #serve(connection: Connection, client: ClientStream, { request, headBytes, body }: StreamRequest): void {
    if (body !== 'raw')
      return this.#context.streams.servePlain(connection, client, { request, headBytes, early: NOTHING })
    this.#context.observer.onHead(connection, 'client', headBytes)
    this.#context.streams.serveUpgrade(connection, client, request, NOTHING)
  }

  onStreamClosed(connection: Connection): void {
    const stream = this.#streams.get(connection.id)
    if (stream === undefined) return
    this.#streams.delete(connection.id, stream)
    this.#context.strain.claims.add(-1)
    this.windows.onRead(stream)
    const leaving = this.#context.leaving()
    if (leaving !== null) this.#pair.close(makeClose(leaving, 'sidegate', 'relay'))
    this.#leaveIfUnreached(connection)
    if (this.#streams.size > 0) return
    this.#waits.restSince = this.#context.clock.now()
    if (this.#hasClientEnded) this.#pair.close(this.#endOfClient())
    else this.#leaveIfDone()
  }

  /**
   * The service of this gate may be gone for good, in a pod that ends. Clients that keep one connection for
   * days find another pod only by a new one: as without the gate, and as over HTTP/1.1, where the connection
   * ends behind such an answer.
   */
  #leaveIfUnreached({ end }: Connection): void {
    if (end?.side !== 'upstream' || end.phase !== 'connect' || end.isFull === true) return
    const detail = `a stream did not reach the service (${end.reason})`
    this.#pair.close(makeClose('upstream_unhealthy', 'upstream', 'relay', detail))
  }

  relay(half: Half, bytes: Buffer, length: number): void {
    half.activity++
    const close =
      half === this.#pair.toUpstream
        ? this.#frames.relayIn(half, bytes, length)
        : this.#frames.relayOut(half, bytes, length)
    if (close !== null) this.#pair.close(close)
    // Node is in the middle of its write.
    if (this.#leaving?.isAsked === false) this.later(() => this.#ask())
  }

  /** Bytes that wait in streams for the engine to read. */
  get held(): number {
    let bytes = 0
    for (const stream of this.#streams) bytes += stream.unread
    return bytes
  }

  get isAtRest(): boolean {
    return this.#streams.size === 0
  }

  /**
   * The client still gets the answers to its complete requests, as far as its windows allow: it opens none
   * any more.
   */
  onSourceEnd(): Close | 'kept' {
    this.#hasClientEnded = true
    endLost(this.#streams)
    return this.#streams.size === 0 ? this.#endOfClient() : 'kept'
  }

  /** Node is done with the session: after a GOAWAY, or because the client broke a rule. */
  onUpstreamClosed(): boolean {
    // Node reports its reason afterwards.
    this.#context.clock.nextTurn(() => {
      this.#pair.close(this.#said ?? makeClose('aborted', 'client', 'relay', 'the session ended'))
    })
    return true
  }

  /** Node has given up the session, and so its streams; the reason is to come. */
  get isFalling(): boolean {
    return this.#session.destroyed && !this.#isOver
  }

  later(run: () => void): void {
    this.#context.clock.nextTurn(run)
  }

  /** A client that was asked to leave has left. */
  #endOfClient(): Close {
    this.#isOver = true
    return this.#leaving?.close ?? makeClose('eof', 'client', 'relay')
  }

  postpone(close: Close): boolean {
    if (this.#isOver) return false
    // A second request changes nothing: the client leaves with its last stream, or in the next turn.
    if (this.#leaving !== null) return true
    this.#leaving = { close, since: this.#context.clock.now(), isAsked: false, isFinal: false }
    letReturn(this.#connection)
    this.#ask()
    return true
  }

  /** The first GOAWAY. No frame precedes our SETTINGS, for which it waits. */
  #ask(): void {
    if (this.#isOver || this.#leaving === null || this.#leaving.isAsked) return
    // Node has told a client that leaves by itself its last stream, and no GOAWAY may allow more again (RFC
    // 9113 section 6.8).
    if (this.#session.closed || this.#session.destroyed) return this.#sayFinal()
    if (!this.#frames.hasSettings) return
    this.#leaving.isAsked = true
    this.#frames.sayGoaway(this.#pair.toClient, ALL_STREAMS, NO_ERROR, this.#leaving.close.reason)
    afterRoundTrips(this.#session, () => this.#sayFinal())
  }

  /** Everything that the client sent before it saw the first GOAWAY has arrived by now. */
  #sayFinal(): void {
    if (this.#leaving === null || this.#leaving.isFinal) return
    this.#leaving.isAsked = this.#leaving.isFinal = true
    if (!this.#session.destroyed) this.#session.goaway(NO_ERROR)
    // Node has yet to write it, and to report a stream that came with the answer to the PING.
    this.later(() => this.#leaveIfDone())
  }

  #leaveIfDone(): void {
    if (this.#leaving?.isFinal === true && this.#streams.size === 0) {
      this.#isOver = true
      this.#pair.close(this.#leaving.close)
    }
  }

  onClosing(close: Close): void {
    this.#isOver = true
    for (const { connection } of this.#streams) connection.owner?.close({ ...close, phase: 'relay' })
  }

  farewell(half: Half, close: Close): Farewell {
    if (half === this.#pair.toUpstream) return 'nobody'
    // A client that has left by itself waits for no word.
    if (close.reason === 'eof' && close.side === 'client') return 'nothing'
    const isSaid =
      this.#frames.hasNamedFault || (this.#leaving?.isFinal === true && close === this.#leaving.close)
    if (!isSaid) this.#frames.sayGoaway(half, this.#lastId, connectionCode(close), close.reason)
    return reasonRow(close.reason).manner === 'reset' ? 'nothing' : 'left'
  }

  isAnswered(): boolean {
    return false
  }

  isOwing(): boolean {
    return false
  }

  sweep(now: number): Close | null {
    if (this.#leaving !== null && now - this.#leaving.since >= ROUND_TRIPS_MS) this.#sayFinal()
    if (this.isHeld) this.#frames.excuseHead(now)
    this.windows.sweep()
    this.#context.strain.claims.settle()
    if (this.#hasClientEnded) endLost(this.#streams)
    const { toClient, toUpstream } = this.#pair
    const isAsked = this.#streams.size > 0 && toClient.sink.queued === 0
    return (
      this.#waits.forWindow(this.#streams, toClient.sink, now) ??
      this.#waits.vanished(toUpstream, isAsked, now, (answered) => void this.#session.ping(answered))
    )
  }

  judge(_toUpstream: Watched, _toClient: Watched, now: number, scale: number): Close | null {
    return this.#waits.judge(this.#streams.size, scale, now)
  }

  describe(): Omit<Wait, 'state'> {
    return this.#waits.describe(this.#streams.size)
  }
}

function ignore(): void {}
