// A client of HTTP/2 by hand: sends the frames of the test in any order, and keeps those that come. By itself it answers only SETTINGS.

import http2 from 'node:http2'
import { duplexPair, type Duplex } from 'node:stream'
import type { Test } from 'tap'
import { within, type Wait } from './eventually.ts'
import * as h2 from './h2-frames.ts'
import { connect } from './peers.ts'
import { tlsConnect } from './tls-peers.ts'
import type { Wire } from './wire.ts'

export type Headers = Record<string, string | string[] | number | undefined>

export interface H2Answer {
  status: number
  headers: Headers
  interim: number[]
  body: Buffer
  trailers: Headers | null
}

/** The end of a stream: a complete answer, or the code of its RST_STREAM. */
export type StreamEnd = H2Answer | { reset: number }

export interface RawOptions {
  /** Path of the authority that is trusted: over TLS. */
  ca?: string
  /** The first bytes after the preface; by default windows so large that no stream waits for them. */
  settings?: Buffer | null
  /** The client only connects, and sends no byte. */
  isSilent?: boolean
}

const WIDE = Buffer.concat([
  h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0x7fff_ffff], [h2.SETTING.ENABLE_PUSH, 0]),
  h2.windowUpdate(0, 0x3fff_ffff),
])
/** The bytes of a DATA frame's payload that `frames` keeps; bodies are whole. */
const KEPT_FRAMES = 20_000

interface Stream {
  interim: number[]
  head: Headers | null
  body: Buffer[]
  trailers: Headers | null
  end: PromiseWithResolvers<StreamEnd>
  headCame: PromiseWithResolvers<Headers>
}

export class RawH2 {
  readonly wire: Wire
  /** All frames that came, in order. */
  readonly frames: h2.H2Frame[] = []
  /** The number of frames by kind. */
  readonly counts = new Map<number, number>()
  #nextStream = 1
  readonly #streams = new Map<number, Stream>()
  readonly #decoder = new BlockDecoder()
  #block: { stream: number; flags: number; pieces: Buffer[] } | null = null
  /** Decodes blocks in their order. */
  #decoded: Promise<unknown> = Promise.resolve()
  #wake = Promise.withResolvers<void>()
  readonly #reader = new h2.FrameReader((frame) => this.#onFrame(frame))
  /** The settings of the gate have come. */
  peerSettings: Map<number, number> | null = null
  goaway: { last: number; code: number; debug: string } | null = null
  /** As any client of the field does. */
  answersPings = false

  constructor(attach: (into: { write(chunk: Buffer): void }) => Wire) {
    this.wire = attach({ write: (chunk) => this.#reader.write(chunk) })
    void this.wire.closed.then(() => this.#decoder.end())
    void this.wire.ended.then(() => this.#decoded.then(() => this.#onGone()))
  }

  send(...frames: Uint8Array[]): Promise<boolean> {
    return this.wire.write(Buffer.concat(frames))
  }

  /** The next id of a stream. */
  next(): number {
    const id = this.#nextStream
    this.#nextStream += 2
    return id
  }

  /** Opens a stream with these fields; its id. Without `body` it ends with them; a body of null leaves it open. */
  request(fields: h2.Field[] = h2.request(), body?: string | Uint8Array | null): number {
    const id = this.next()
    const flags = h2.END_HEADERS | (body === undefined ? h2.END_STREAM : 0)
    const frames = [h2.headers(id, h2.literals(...fields), flags)]
    if (body !== undefined && body !== null) frames.push(h2.data(id, body, h2.END_STREAM))
    this.of(id)
    void this.send(...frames)
    return id
  }

  /** How the stream ends. */
  end(id: number, wait: Wait = {}): Promise<StreamEnd> {
    return within(this.of(id).end.promise, { what: `the end of stream ${id}`, ...wait })
  }

  /** The whole answer; throws if there is none. */
  async answer(id: number, wait: Wait = {}): Promise<H2Answer> {
    const end = await this.end(id, wait)
    if ('reset' in end) throw new Error(`stream ${id} was reset with ${end.reset}`)
    return end
  }

  async get(more: Record<string, string> = {}, rest: h2.Field[] = []): Promise<H2Answer> {
    return this.answer(this.request(h2.request(more, rest)))
  }

  /** The head of the answer. */
  head(id: number, wait: Wait = {}): Promise<Headers> {
    return within(this.of(id).headCame.promise, { what: `the head of stream ${id}`, ...wait })
  }

  /** Bytes of the body that have come. */
  bodyBytes(id: number): number {
    return this.of(id).body.reduce((sum, { length }) => sum + length, 0)
  }

  /** The first frame that came, or comes, of which this is true; null once the connection has ended without. */
  async frame(isIt: (frame: h2.H2Frame) => boolean, wait: Wait = {}): Promise<h2.H2Frame | null> {
    for (let at = 0; ;) {
      for (; at < this.frames.length; at++) if (isIt(this.frames[at]!)) return this.frames[at]!
      if (this.wire.hasEnded || this.wire.outcome !== null) return null
      await within(this.#wake.promise, { what: 'a frame', ...wait })
    }
  }

  /** Resolves true once the gate has read all earlier frames: it has answered a ping sent after them. False if the connection ends first. */
  async ping(wait: Wait = {}): Promise<boolean> {
    const payload = Buffer.from(String(Math.random()).slice(2, 10).padEnd(8, '0'))
    void this.send(h2.ping(payload))
    const isIt = ({ type, flags, payload: seen }: h2.H2Frame): boolean =>
      type === h2.kinds.PING && (flags & h2.ACK) !== 0 && seen.equals(payload)
    return (await this.frame(isIt, { what: 'the answer to a ping', ...wait })) !== null
  }

  /** The code of its GOAWAY, once the connection has ended; null if it ended without one. */
  async goodbye(wait: Wait = {}): Promise<number | null> {
    await within(this.wire.ended, { what: 'the end of the connection', ...wait })
    this.wire.end()
    return this.goaway?.code ?? null
  }

  count(type: number): number {
    return this.counts.get(type) ?? 0
  }

  of(id: number): Stream {
    let stream = this.#streams.get(id)
    if (stream === undefined) {
      stream = {
        interim: [],
        head: null,
        body: [],
        trailers: null,
        end: Promise.withResolvers(),
        headCame: Promise.withResolvers(),
      }
      stream.headCame.promise.catch(() => {})
      stream.end.promise.catch(() => {})
      this.#streams.set(id, stream)
    }
    return stream
  }

  #onFrame(frame: h2.H2Frame): void {
    const { type, flags, stream: id, payload } = frame
    this.counts.set(type, this.count(type) + 1)
    if (this.frames.length < KEPT_FRAMES) this.frames.push(frame)
    if (type === h2.kinds.SETTINGS && (flags & h2.ACK) === 0) this.#onSettings(payload)
    else if (type === h2.kinds.PING && (flags & h2.ACK) === 0 && this.answersPings)
      void this.send(h2.frame(h2.kinds.PING, h2.ACK, 0, payload))
    else if (type === h2.kinds.GOAWAY)
      this.goaway = {
        last: payload.readUInt32BE(0),
        code: payload.readUInt32BE(4),
        debug: payload.toString('latin1', 8),
      }
    else if (type === h2.kinds.RST_STREAM) this.#onReset(id, payload.readUInt32BE(0))
    else if (type === h2.kinds.DATA) {
      this.of(id).body.push(payload)
      if ((flags & h2.END_STREAM) !== 0) this.#whole(id)
    } else if (type === h2.kinds.HEADERS || type === h2.kinds.CONTINUATION) this.#onBlock(frame)
    this.#notify()
  }

  /** An answer that was complete before it stays so. */
  #onReset(id: number, code: number): void {
    void this.#decoded.then(() => this.#finish(id, { reset: code }))
  }

  #onSettings(payload: Buffer): void {
    this.peerSettings ??= new Map()
    for (let at = 0; at < payload.length; at += 6)
      this.peerSettings.set(payload.readUInt16BE(at), payload.readUInt32BE(at + 2))
    void this.send(h2.settingsAck())
  }

  #onBlock({ type, flags, stream, payload }: h2.H2Frame): void {
    if (type === h2.kinds.HEADERS) this.#block = { stream, flags, pieces: [] }
    const block = this.#block!
    block.pieces.push(payload)
    if ((flags & h2.END_HEADERS) === 0) return
    const bytes = Buffer.concat(block.pieces)
    this.#decoded = this.#decoded.then(async () => {
      const one = this.of(stream)
      const fields = await this.#decoder.decode(bytes, one.head !== null)
      if (one.head !== null) one.trailers = fields
      else if (Number(fields[':status']) < 200) one.interim.push(Number(fields[':status']))
      else {
        one.head = fields
        one.headCame.resolve(fields)
      }
      this.#notify()
    })
    if ((block.flags & h2.END_STREAM) !== 0) this.#whole(stream)
  }

  #whole(id: number): void {
    void this.#decoded.then(() => {
      const { head, interim, body, trailers } = this.of(id)
      this.#finish(id, {
        status: Number(head?.[':status']),
        headers: head ?? {},
        interim,
        body: Buffer.concat(body),
        trailers,
      })
    })
  }

  #finish(id: number, end: StreamEnd): void {
    const stream = this.of(id)
    stream.end.resolve(end)
    if ('reset' in end) stream.headCame.reject(new Error(`stream ${id} was reset with ${end.reset}`))
  }

  #onGone(): void {
    const error = new Error(`the connection ended, GOAWAY ${this.goaway?.code ?? 'none'}`)
    for (const { end, headCame } of this.#streams.values()) {
      end.reject(error)
      headCame.reject(error)
    }
    this.#notify()
  }

  #notify(): void {
    const { resolve } = this.#wake
    this.#wake = Promise.withResolvers()
    resolve()
  }
}

const { END_HEADERS, END_STREAM } = h2
const OK = h2.literals([':status', '200'])

/** The field :status comes first; nghttp2 writes a value that the static table lacks (1xx) with a name from it, and digits as they are or by Huffman. */
function isInterim(block: Buffer): boolean {
  const [first, length, digit] = block
  if (first === undefined || first >= 0x80 || (first & 0x0f) !== 8) return false
  return (length! & 0x80) === 0 ? digit === 0x31 : digit! >> 3 === 0b00001
}

/** Decodes header blocks by a client of Node's, for which they answer requests of its own. */
class BlockDecoder {
  readonly #session: http2.ClientHttp2Session
  readonly #server: Duplex
  #next = 1

  constructor() {
    const [client, server] = duplexPair()
    this.#server = server
    server.resume()
    server.write(h2.settings())
    this.#session = http2.connect('http://a', {
      createConnection: () => client,
      maxHeaderListPairs: 10_000,
      settings: { maxHeaderListSize: 1 << 24, initialWindowSize: 0x7fff_ffff },
    })
    this.#session.on('error', () => {})
  }

  decode(block: Buffer, isTrailers: boolean): Promise<Headers> {
    const id = this.#next
    this.#next += 2
    const stream = this.#session.request({ ':path': '/', ':method': 'HEAD' })
    const came = Promise.withResolvers<Headers>()
    stream.on('error', (error) => came.reject(error))
    stream.on('close', () => came.reject(new Error('a header block that cannot be read')))
    stream.once('headers', (fields) => came.resolve({ ...fields }))
    stream.once('trailers', (fields) => came.resolve({ ...fields }))
    if (!isTrailers) stream.once('response', (fields) => came.resolve({ ...fields }))
    stream.resume()
    setImmediate(() => {
      // The block of an interim answer ends no stream; of any other answer Node's client gets only the block.
      const head = h2.headers(id, OK, END_HEADERS)
      const isEnd = isTrailers || !isInterim(block)
      if (isTrailers) this.#server.write(head)
      this.#server.write(h2.headers(id, block, END_HEADERS | (isEnd ? END_STREAM : 0)))
      if (!isEnd) this.#server.write(h2.headers(id, OK, END_HEADERS | END_STREAM))
    })
    return within(came.promise, { what: 'a header block to be read' })
  }

  end(): void {
    this.#session.destroy()
    this.#server.destroy()
  }
}

/** Connected, its preface sent. */
export async function rawH2(t: Test, port: number, options: RawOptions = {}): Promise<RawH2> {
  const { ca, settings = WIDE, isSilent = false } = options
  const later: { into: { write(chunk: Buffer): void } | null } = { into: null }
  const into = { write: (chunk: Buffer) => later.into?.write(chunk) }
  const wire =
    ca === undefined
      ? await connect(t, port, { into, halfOpen: true })
      : await tlsConnect(t, port, { ca, into, options: { ALPNProtocols: ['h2'] } })
  const client = new RawH2((given) => {
    later.into = given
    return wire
  })
  if (!isSilent) void client.send(h2.PREFACE, settings ?? Buffer.alloc(0))
  return client
}
