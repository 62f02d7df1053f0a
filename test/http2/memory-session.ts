// A client's connection without a socket: the test sends its frames and sees those that come, and serves its
// streams. Time stands still, and the turns of the event loop are real.

import { setImmediate as turn } from 'node:timers/promises'
import type { Test } from 'tap'
import { noOwner } from '../../src/admission/refusal.ts'
import { Sweep, systemClock } from '../../src/core/clock.ts'
import type { Close, Manner } from '../../src/core/close.ts'
import { Connection, Registry } from '../../src/core/connection.ts'
import { silentObserver } from '../support/silent-observer.ts'
import type { ConnectionOwner } from '../../src/core/connection.ts'
import { fixed } from '../../src/core/live.ts'
import { NOTHING } from '../../src/core/nothing.ts'
import { calm } from '../../src/core/strain.ts'
import type { Endpoint, EndpointOwner } from '../../src/endpoint/endpoint.ts'
import { ClientSession } from '../../src/http2/client-session.ts'
import type { Http2Context, Http2Options } from '../../src/http2/options.ts'
import { addressOf } from '../support/addresses.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import * as h2 from '../support/h2-frames.ts'
import { MemoryEndpoint } from '../support/memory-endpoint.ts'

const off = Number.POSITIVE_INFINITY

/** The server of a stream, as the engine is one: it records its calls, and ends when it is told to. */
export class Served implements EndpointOwner, ConnectionOwner {
  readonly connection: Connection
  readonly client: Endpoint
  /** The text of the head. */
  readonly head: string
  /** The manner in which it parts from a client. */
  manner: Manner = 'reset'
  got = ''
  mayRead = true
  hasEnded = false
  progress = 0
  /** The causes that it was told of. */
  readonly closes: Close[] = []
  closed: NodeJS.ErrnoException | null | undefined
  #isInside = false
  readonly #onClosed: (connection: Connection) => void

  constructor(connection: Connection, client: Endpoint, head: string, onClosed: (one: Connection) => void) {
    this.connection = connection
    this.client = client
    this.head = head
    this.#onClosed = onClosed
    connection.owner = client.owner = this
  }

  answer(text: string): void {
    const bytes = Buffer.from(text, 'latin1')
    this.client.write(bytes, 0, bytes.length)
    // Like a read buffer, it belongs to another read from here on.
    bytes.fill(0)
  }

  /** A whole answer, and the end of the stream. */
  done(): void {
    this.answer('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
    this.client.close('flush')
  }

  onBytes(_endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    this.got += bytes.toString('latin1', 0, length)
    return this.mayRead
  }

  onEnd(): void {
    this.hasEnded = true
  }

  onProgress(): void {
    this.progress++
  }

  onClosed(_endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    if (this.#isInside) throw new Error('called from within')
    this.closed = error
    this.#onClosed(this.connection)
  }

  close(close: Close): void {
    this.closes.push(close)
    this.connection.end ??= close
    this.#isInside = true
    this.client.close(this.manner)
    this.#isInside = false
  }

  queued(): number {
    return this.client.queued
  }

  lastDrainAt(): number {
    return 0
  }

  isPaused(): boolean {
    return false
  }
}

export interface MemorySessionOptions extends Partial<
  Pick<Http2Options, 'keepAliveMs' | 'maxStreams' | 'maxHeaderBytes'>
> {
  pingMs?: number
  pingTo?: 'client' | 'upstream' | 'both'
  handshakeMs?: number
  writeMs?: number
  context?: Partial<Http2Context>
  /** Changes the record before the connection is served. */
  prepare?: (connection: Connection) => void
  /** False: a server does not read before the test resumes it. */
  isRead?: boolean
  /** The first frames; by default SETTINGS. */
  first?: Buffer
}

export function memorySession(_t: Test, options: MemorySessionOptions = {}) {
  const clock: FakeClock = { ...fakeClock(), nextTurn: systemClock.nextTurn }
  const registry = new Registry()
  const connection = new Connection(registry.nextId(), 'app', 'h2', addressOf('192.0.2.1:1'), clock.now())
  options.prepare?.(connection)
  registry.add(connection)
  const client = new MemoryEndpoint('client', noOwner)
  const served: Served[] = []
  /** Ended streams, and the connection, in their order. */
  const ends: Connection[] = []
  const onStreamEnd = (stream: Connection): void => {
    ends.push(stream)
    registry.delete(stream)
    stream.session!.onStreamClosed(stream)
  }
  const serve = (stream: Connection, end: Endpoint, head: string): void => {
    const one = new Served(stream, end, head, onStreamEnd)
    if (options.isRead !== false) end.resume()
    served.push(one)
  }
  const context: Http2Context = {
    clock,
    sweep: new Sweep(clock),
    random: () => 0,
    strain: calm(),
    observer: silentObserver,
    onClosed: (one) => void ends.push(one),
    registry,
    leaving: () => null,
    streams: {
      servePlain: (stream, end, { request }) => serve(stream, end, `${request.method} ${request.target}`),
      serveUpgrade: (stream, end, request) => serve(stream, end, `upgrade ${request.target}`),
      onRefused: onStreamEnd,
    },
    ...options.context,
  }
  const { keepAliveMs = off, maxStreams = 100, maxHeaderBytes = 16_384 } = options
  const { pingMs = off, pingTo = 'both', handshakeMs = off, writeMs = off } = options
  const pairDeadlines = {
    idleMs: off,
    clientIdleMs: off,
    upstreamIdleMs: off,
    halfCloseMs: off,
    lifetimeMs: off,
    lifetimeJitter: 0,
    writeMs,
    closeMs: 5000,
  }
  const session = new ClientSession(
    connection,
    client,
    {
      pair: {
        buffers: { highBytes: 65_536, lowBytes: 32_768, readBytes: 16_384 },
        deadlines: fixed(pairDeadlines),
        tcpKeepAliveMs: off,
      },
      deadlines: fixed({
        handshakeMs,
        writeMs,
        ping: { intervalMs: pingMs, timeoutMs: 1000, misses: 1, to: pingTo },
      }),
      keepAliveMs,
      maxStreams,
      maxHeaderBytes,
    },
    context,
  )
  session.start(NOTHING)
  const send = (...frames: Buffer[]): void => client.feed(Buffer.concat(frames))
  send(h2.PREFACE, options.first ?? h2.settings())

  let read = 0
  const all: h2.H2Frame[] = []
  const reader = new h2.FrameReader((frame) => all.push(frame))
  /** All frames that came. */
  const frames = (): h2.H2Frame[] => {
    const { got } = client
    if (got.length > read) reader.write(got.subarray(read))
    read = got.length
    return all
  }
  let pings = 0
  return {
    clock,
    connection,
    client,
    session,
    registry,
    served,
    ends,
    send,
    frames,
    ofKind: (type: number) => frames().filter((frame) => frame.type === type),
    /** Resolves once all earlier frames were read, and their streams and Node are done with them. */
    async ping(): Promise<void> {
      const payload = Buffer.alloc(8, ++pings)
      send(h2.ping(payload))
      await eventually(() =>
        frames().some(
          (one) => one.type === h2.kinds.PING && one.flags === h2.ACK && one.payload.equals(payload),
        ),
      )
      for (let nth = 0; nth < 3; nth++) await turn()
    },
    /** The GOAWAYs, as last stream, code and words. */
    goaways: () =>
      frames()
        .filter(({ type }) => type === h2.kinds.GOAWAY)
        .map(({ payload }) => [
          payload.readUInt32BE(0),
          payload.readUInt32BE(4),
          payload.toString('latin1', 8),
        ]),
    /** The only stream that is served. */
    async stream(): Promise<Served> {
      return eventually(() => served[0], { what: 'a stream' })
    },
    /** How the connection ended; the client answers a FIN by its own. */
    end: () =>
      eventually(
        () => {
          if (client.gotFin) client.fin()
          return ends.find((one) => one === connection)?.end
        },
        { what: 'the end' },
      ),
  }
}
