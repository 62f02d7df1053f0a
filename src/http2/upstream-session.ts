// One HTTP/2 connection to a service, and the streams on it.
//
//     greeting --SETTINGS of the service--> open --GOAWAY, or retired--> leaving --last stream--> gone
//        +-------- closed, no HTTP/2 ----------------------------------------------------------> gone
//
// It takes as many streams as the service allows. Node reads and writes its socket; the window of each stream
// bounds the bytes that wait here for a client that does not read.

import type net from 'node:net'
import type Http2 from 'node:http2'
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2'
import { http2Codes, PING_TIMEOUT } from '../core/close.ts'
import type { Close, PeerError } from '../core/close.ts'
import { nodeHttp2 } from '../core/late.ts'
import { rawOf } from '../endpoint/raw-socket.ts'
import { codeName } from './codes.ts'
import { SendWindow } from './send-window.ts'
import type { Sending } from './send-window.ts'
import { resetAtService } from './reset-stream.ts'
import { SessionPings } from './session-pings.ts'
import type { PingRules } from './session-pings.ts'
import { SharedWindows } from './shared-windows.ts'
import { spareOthers } from './stream-faults.ts'

/** A stream, as its session sees it. */
interface SessionStream extends Sending {
  readonly isClosed: boolean
}

/** Gets a session with room, or none. */
export interface SessionTaker {
  onSession(session: UpstreamSession, dialMs: number | null): void
  onNoSession(close: Close): void
}

export interface SessionOwner {
  /** The service has greeted: its first SETTINGS came. */
  onOpen(session: UpstreamSession): void
  /** There is room for more streams. */
  onRoom(session: UpstreamSession): void
  /** It takes no more streams. */
  onLeaving(session: UpstreamSession): void
  onGone(session: UpstreamSession): void
}

/**
 * The most streams on one session, whatever the service allows: they share one connection, and one lost
 * packet stops all.
 */
const MAX_STREAMS = 1000
/**
 * A session with so many cancelled streams is left for another: a service ends one that has too many, with
 * all its streams (Node and nghttp2 1000, and 33 a second on; Envoy half of 500 streams), and clients that do
 * not cancel would be cut with those that do.
 */
const MOST_RESETS = 200
/** Half of the ids of streams (RFC 9113 section 5.1.1): with none left a session would fail each request. */
const MOST_IDS = 2 ** 30
/** The window of all streams of one session together, in a round trip; each has its own besides. */
const WINDOW = 1024 * 1024
/**
 * Megabytes that Node may hold for one session. Its streams bound the bytes that wait, so this is never to be
 * reached.
 */
const MAX_MEMORY = 256
/**
 * Bytes of a head, either way: the upper bound of `http.maxHeader`, which judges, and what Node counts
 * besides.
 */
const MAX_HEAD = 2 * 1024 * 1024
/**
 * Header lines of an answer: the engine names its limit when it refuses more; Node, beyond these, only
 * refuses.
 */
const MAX_FIELDS = 1000
/** How long a complete answer may wait for its END_STREAM, and an ended session for its service's FIN. */
const END_MS = 1000
/**
 * How long a session may live on after its requests have left all of its streams. The service has had END_MS
 * for each END_STREAM by then, and a RST_STREAM waits only for a socket that takes nothing.
 */
const UNUSED_MS = 2 * END_MS

export class UpstreamSession {
  readonly #session: ClientHttp2Session
  readonly #socket: net.Socket
  readonly #owner: SessionOwner
  readonly #streams = new Set<SessionStream>()
  readonly #ending = new Map<ClientHttp2Stream, number>()
  readonly #pings: SessionPings
  readonly windows: SharedWindows
  readonly sendWindow: SendWindow
  #state: 'greeting' | 'open' | 'leaving' | 'gone' = 'greeting'
  #max = 0
  #resets = 0
  #problem: NodeJS.ErrnoException | null = null
  #lastTaken = Number.POSITIVE_INFINITY
  #hasKeepAlive = false
  /** When a sweep saw that Node is done with the session while the service has not closed its side. */
  #endedAt: number | null = null
  /** Since when sweeps have found no request on its streams, though it is not at rest. */
  #unusedAt: number | null = null
  readonly #now: () => number
  /** Milliseconds of the Clock; since then it has had no stream. */
  idleSince: number

  /** `authority` is `host:port` with a scheme, for requests without a host. */
  constructor(
    socket: net.Socket,
    authority: string,
    owner: SessionOwner,
    { now, pings }: { now: () => number; pings: () => PingRules },
  ) {
    this.#socket = socket
    this.#owner = owner
    this.#now = now
    this.idleSince = now()
    this.#pings = new SessionPings(pings, this.idleSince)
    socket.on('end', () => this.#onSocketEnd())
    this.#session = nodeHttp2().connect(authority, { ...OPTIONS, createConnection: () => socket })
    this.windows = new SharedWindows(this.#session)
    this.sendWindow = new SendWindow(this.#session, now)
    spareOthers(this.#session)
    this.#watch(this.#session)
  }

  #watch(session: ClientHttp2Session): void {
    session.setLocalWindowSize(WINDOW)
    // Node reports a limit even for a service that sends none.
    session.on('remoteSettings', ({ maxConcurrentStreams }) => this.#onSettings(maxConcurrentStreams))
    session.on('goaway', (code, lastStreamId) => this.#onGoaway(code, lastStreamId))
    session.on('error', (error: NodeJS.ErrnoException) => (this.#problem ??= error))
    session.on('close', () => this.#onClosed())
  }

  get isGone(): boolean {
    return this.#session.destroyed
  }

  get streams(): number {
    return this.#streams.size
  }

  /** The service seemed stuck and has not answered since, or its window stays shut. */
  get isDoubtful(): boolean {
    return this.#pings.isDoubtful || this.sendWindow.isStuck
  }

  /** How many more streams it takes. */
  get room(): number {
    const isOver = this.#session.closed || this.#session.destroyed
    return isOver || this.isDoubtful ? 0 : Math.max(0, this.#max - this.#streams.size)
  }

  /** The largest head that the service takes, as `headSize` counts it. */
  get maxHead(): number {
    return this.#session.remoteSettings.maxHeaderListSize ?? Number.POSITIVE_INFINITY
  }

  /** Why the session ended, in the words of the log. */
  get problem(): string {
    return this.#problem === null ? 'closed' : wordsOf(this.#problem)
  }

  join(stream: SessionStream): void {
    this.#streams.add(stream)
  }

  leave(stream: SessionStream): void {
    this.windows.onRead(stream)
    if (!this.#streams.delete(stream)) return
    if (this.#streams.size === 0) this.idleSince = this.#now()
    this.#owner.onRoom(this)
  }

  request(
    headers: OutgoingHttpHeaders,
    options: { endStream: boolean; waitForTrailers: boolean },
  ): ClientHttp2Stream {
    const stream = this.#session.request(headers, options)
    // A stream's `close` event reports its error.
    stream.on('error', () => {})
    stream.on('close', () => this.#ending.delete(stream))
    return stream
  }

  /** Expects nothing more of a stream that is done, and ignores what the service still sends on it. */
  awaitEnd(stream: ClientHttp2Stream): void {
    this.#ending.set(stream, this.#now())
    stream.resume()
  }

  /** Cancels a stream. */
  reset(stream: ClientHttp2Stream, code: number): void {
    resetAtService(stream, code)
    if (++this.#resets >= MOST_RESETS) this.retire()
  }

  /** The GOAWAY of the service left the stream out. */
  hasLeftOut({ id }: ClientHttp2Stream): boolean {
    return id! > this.#lastTaken
  }

  /** Why a stream closed unexpectedly; `progress`: how far its answer came. */
  whyClosed({ rstCode }: ClientHttp2Stream, progress: string): PeerError {
    if (this.#problem !== null) return this.#problem
    if (this.isGone) return failure('ECONNRESET', 'closed without FIN')
    // Node does not tell whose it is: nghttp2 resets a stream whose answer is malformed with the same code.
    const isPerhapsOurs = rstCode === http2Codes.PROTOCOL_ERROR
    const whose = isPerhapsOurs ? `, the service's or for a malformed answer, ${progress}` : ''
    return Object.assign(failure('RST_STREAM', `${codeName(rstCode)}${whose}`), { http2Code: rstCode })
  }

  /** Turns on TCP keep-alive towards the service. */
  keepAlive(ms: number): void {
    if (this.#hasKeepAlive) return
    this.#hasKeepAlive = true
    rawOf(this.#socket).setKeepAlive(true, ms)
  }

  /** Learns how a conversation on one of its streams ended: the whole service may be stuck. */
  noteStreamEnd({ reason, side }: Close): void {
    if (side !== 'upstream' || (reason !== 'write_timeout' && reason !== 'response_timeout')) return
    if (this.#state === 'open' && this.#pings.doubt(this.#now())) this.#ping()
  }

  sweep(now: number): void {
    for (const [stream, since] of this.#ending) if (now - since >= END_MS) stream.close(http2Codes.CANCEL)
    if (this.#session.destroyed) return this.#dropSocket(now)
    if (this.#isUnused(now)) return this.destroy()
    if (this.#session.state.nextStreamID! > MOST_IDS) this.retire()
    this.windows.sweep()
    this.#sweepWindow(now)
    const verdict = this.#pings.sweep(this.#socket.bytesRead, this.#streams.size > 0, now)
    if (verdict === 'ask') this.#ping()
    else if (verdict === 'stuck') this.retire()
    else if (verdict === 'gone')
      this.#destroy(
        failure(PING_TIMEOUT, 'the service answered no PING and sent nothing else (websocket.ping)'),
      )
  }

  /**
   * A session whose window stays shut takes no further requests; without a stream nothing waits for the
   * window, so the session is retired.
   */
  #sweepWindow(now: number): void {
    const wasStuck = this.sendWindow.isStuck
    this.sendWindow.sweep(this.#streams, now)
    if (!this.sendWindow.isStuck) {
      if (wasStuck && this.room > 0) this.#owner.onRoom(this)
    } else if (this.#streams.size === 0) this.retire()
  }

  /**
   * Only frames for a service that takes nothing are left of it: Node would keep it, with the memory of its
   * streams, as long as the service stands still.
   */
  #isUnused(now: number): boolean {
    const isAtRest = this.#state === 'open' && this.#streams.size === 0
    const isUsed = isAtRest || [...this.#streams].some(({ isClosed }) => !isClosed)
    this.#unusedAt = isUsed ? null : (this.#unusedAt ?? now)
    return this.#unusedAt !== null && now - this.#unusedAt >= UNUSED_MS
  }

  /** Node has sent FIN, and would wait for the FIN of a stuck service as long as it takes. */
  #dropSocket(now: number): void {
    this.#endedAt ??= now
    if (now - this.#endedAt >= END_MS) this.#socket.destroy()
  }

  #ping(): void {
    if (!this.#session.destroyed)
      this.#session.ping((error) => {
        if (error === null) this.#pings.onAnswered(this.#now())
        if (this.room > 0) this.#owner.onRoom(this)
      })
  }

  /** Takes no more streams; ends with its last one. */
  retire(): void {
    if (this.#state === 'greeting') return this.destroy()
    if (this.#state !== 'open') return
    this.#state = 'leaving'
    this.#owner.onLeaving(this)
    this.#session.close()
  }

  destroy(): void {
    this.#session.destroy()
  }

  #destroy(error: NodeJS.ErrnoException): void {
    this.#problem ??= error
    this.destroy()
  }

  #onSettings(max: number): void {
    this.#max = Math.min(max, MAX_STREAMS)
    if (this.#state === 'greeting') {
      this.#state = 'open'
      this.#owner.onOpen(this)
    } else this.#owner.onRoom(this)
  }

  #onGoaway(code: number, lastStreamId: number): void {
    this.#lastTaken = lastStreamId
    const wasOpen = this.#state === 'open'
    this.#state = 'leaving'
    if (code !== http2Codes.NO_ERROR) this.#problem ??= failure('GOAWAY', codeName(code))
    if (wasOpen) this.#owner.onLeaving(this)
  }

  /** The service has sent FIN: nothing more comes on any stream. */
  #onSocketEnd(): void {
    const words = this.#state === 'leaving' ? 'FIN before the end of its streams' : 'FIN without GOAWAY'
    this.#problem ??= failure('ECONNRESET', words)
    this.destroy()
  }

  #onClosed(): void {
    this.#state = 'gone'
    this.#owner.onGone(this)
  }
}

const OPTIONS: Http2.ClientSessionOptions & { strictSingleValueFields: boolean } = {
  maxSessionMemory: MAX_MEMORY,
  maxHeaderListPairs: MAX_FIELDS,
  maxSendHeaderBlockLength: MAX_HEAD,
  // The engine has judged the values: Node must let them pass.
  strictSingleValueFields: false,
  settings: { enablePush: false, maxHeaderListSize: MAX_HEAD },
}

function failure(code: string, message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code })
}

function wordsOf({ code, message }: NodeJS.ErrnoException): string {
  return message.includes(code!) ? message : `${code}: ${message}`
}
