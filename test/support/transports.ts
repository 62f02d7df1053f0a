// One conversation through a gate, the same over every transport: a client and a service that send streams of checked bytes to each
// other, end them as the transport does, read slowly or not at all, and break off. One body tests a rule on all
// transports:
//
//     forEachTransport(t, transports, 'a slow reader gets all', async (t, transport) => {
//       const { client, service, gate } = await openLine(t, transport, 'deadlines: { write: 400ms }')
//
// | transport           | data                     | `finish`                              | the gate's listener             |
// | tcp, tls            | bytes                    | FIN                                   | protocol: tcp                   |
// | websocket, over tls | binary messages          | Close 1000, answered by the other     | protocol: http                  |
// | messages            | binary messages          | Close 1000                            | websocket: { mode: messages }   |
// | http, over tls      | chunks of a body         | the last chunk                        | protocol: http, one POST        |
// | h2                  | DATA, to the service     | END_STREAM, to the service the last   | http: { h2c: on }, one POST     |
// |                     | chunks                   | chunk                                 |                                 |
// | websocket over h2   | binary messages          | Close 1000                            | http: { h2c: on }               |

import type { Test } from 'tap'
import { pattern, Verifier } from './bytes.ts'
import { someServer } from './certificates.ts'
import { eventually } from './eventually.ts'
import { closePayload, encodeFrame } from './frames.ts'
import { startGate } from './gate.ts'
import type { OperatorParts } from '../../src/operator/operator.ts'
import type { Gate } from './gate.ts'
import { switchingProtocols, upgradeRequest } from './handshake.ts'
import { watchLeaks } from './leaks.ts'
import { connect, listen } from './peers.ts'
import type { Upstream } from './peers.ts'
import { ByteReader, ChunkReader, HeadThen, MessageReader } from './stream-readers.ts'
import type { StreamReader } from './stream-readers.ts'
import { h2Wire, websocketHead } from './h2-wire.ts'
import { freePort } from './free-port.ts'
import { tlsConnect } from './tls-peers.ts'
import type { TlsWire } from './tls-peers.ts'
import type { Wire } from './wire.ts'

export const transports = [
  'tcp',
  'tls',
  'websocket',
  'websocket over tls',
  'messages',
  'http',
  'http over tls',
] as const
/** The transports whose client end is a stream: its connection has a record of its own. */
export const streamTransports = ['h2', 'websocket over h2'] as const
export const allTransports = [...transports, ...streamTransports] as const
export type Transport = (typeof allTransports)[number]

/** The transports on which one side ends its half and the other goes on. */
export const halfClosing: readonly Transport[] = ['tcp', 'tls', 'http', 'http over tls', 'h2']

export const isWebSocket = (transport: Transport): boolean =>
  transport.startsWith('websocket') || transport === 'messages'
export const isHttp = (transport: Transport): boolean => transport.startsWith('http') || transport === 'h2'
const isStream = (transport: Transport): boolean => transport.endsWith('h2')
const isSecure = (transport: Transport): boolean => transport.endsWith('tls')

/** The payload of one message, chunk or write. */
const PIECE = 16_384

/** One side of a conversation. */
export class Peer {
  /** Once it is connected. */
  wire!: Wire
  /** The received payload. */
  readonly got: Verifier
  readonly #transport: Transport
  /** The transport's bytes are the payload itself. */
  readonly #isBare: boolean
  readonly #masked: boolean
  readonly #seed: number
  #sent = 0
  #reader: StreamReader | null = null
  #isFinished = false

  constructor(transport: Transport, side: 'client' | 'service') {
    this.#transport = transport
    this.#isBare = ['tcp', 'tls'].includes(transport) || (transport === 'h2' && side === 'client')
    this.#masked = side === 'client'
    this.#seed = side === 'client' ? 1 : 2
    this.got = new Verifier(side === 'client' ? 2 : 1)
  }

  /** Payload bytes that the test gave this side to send. */
  get sent(): number {
    return this.#sent
  }

  /** The other side's stream came to its orderly end, as the transport expresses it. */
  get isWhole(): boolean {
    return this.#isBare ? this.wire.hasEnded : (this.#reader?.isWhole ?? false)
  }

  get closeCode(): number | null {
    return this.#reader?.closeCode ?? null
  }

  reader(): StreamReader {
    if (this.#isBare) this.#reader = new ByteReader(this.got)
    else if (isHttp(this.#transport)) this.#reader = new ChunkReader(this.got)
    else this.#reader = new MessageReader(this.got, (payload) => void this.#frame('pong', payload))
    return this.#reader
  }

  /** Sends so many bytes of payload; resolves true once the kernel took them, false if the connection has closed. */
  async send(bytes: number): Promise<boolean> {
    for (let left = bytes; left > 0;) {
      const length = Math.min(PIECE, left)
      const piece = pattern(length, this.#seed, this.#sent)
      this.#sent += length
      left -= length
      if (!(await this.#data(piece))) return false
    }
    return true
  }

  /** RST; drops unsent bytes. */
  reset(): void {
    // A TLS client can only reset the socket beneath.
    const { raw } = this.wire as Partial<TlsWire>
    if (raw === undefined) this.wire.reset()
    else raw.resetAndDestroy()
  }

  /** The orderly end of this side's stream, once. */
  finish(): void {
    if (this.#isFinished) return
    this.#isFinished = true
    if (this.#isBare) this.wire.end()
    else if (isHttp(this.#transport)) void this.wire.write('0\r\n\r\n')
    else void this.#frame('close', closePayload(1000))
  }

  /** Makes one read, then a pause of that length, again and again, until `stop` is called. */
  sip(everyMs: number): { stop(): void } {
    const { socket } = this.wire
    const pause = (): void => void socket.pause()
    socket.on('data', pause)
    const timer = setInterval(() => socket.resume(), everyMs)
    const stop = (): void => {
      clearInterval(timer)
      socket.off('data', pause)
      socket.resume()
    }
    void this.wire.closed.then(() => clearInterval(timer))
    return { stop }
  }

  #data(piece: Buffer): Promise<boolean> {
    if (this.#isBare) return this.wire.write(piece)
    if (isHttp(this.#transport))
      return this.wire.write(
        Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')]),
      )
    return this.#frame('binary', piece)
  }

  #frame(opcode: 'binary' | 'pong' | 'close', payload: Buffer): Promise<boolean> {
    return this.wire.write(encodeFrame({ opcode, payload, mask: this.#masked }))
  }
}

export interface Line {
  gate: Gate
  /** The authority of the gate's certificate; null in the clear. */
  ca: string | null
  client: Peer
  service: Peer
  upstream: Upstream
  /** The listener with these keys, and another upstream if given, for a reload. */
  listener(keys: string, upstream?: string): string
}

export interface LineOptions {
  /** Keys of the file's top level. */
  top?: string
  /** The gate's start options beside its file. */
  parts?: Partial<OperatorParts>
  /** The gate's upstream, as YAML, for a service on that port; by default its address. */
  upstreamOf?: (port: number) => string
  /** The service listens only once this has resolved, with the client connected by then. */
  late?: (gate: Gate) => Promise<unknown>
  /** Further headers of the client's request. */
  headers?: Record<string, string>
  /** Both peers are reached by unix sockets in that directory; for transports in the clear, but streams. */
  unix?: string
  /** The client reads nothing until `wire.resumeReading()`; the service's kernel buffers and everything else are as usual. */
  unread?: boolean
}

/** The listener of a gate for that transport; `keys` are further keys of it, as YAML in one line. */
function listenerOf(transport: Transport, upstream: string, tls: string, keys: string): string {
  const protocol = transport === 'tcp' || transport === 'tls' ? 'tcp' : 'http'
  const websocket =
    transport === 'messages' && !keys.includes('websocket:') ? ', websocket: { mode: messages }' : ''
  const all = transport === 'messages' ? keys.replace('websocket: {', 'websocket: { mode: messages,') : keys
  const h2c = isStream(transport) ? ', http: { h2c: on }' : ''
  return `protocol: ${protocol}, upstream: ${upstream}${tls}${websocket}${h2c}${all === '' ? '' : `, ${all}`}`
}

export interface Service {
  service: Peer
  upstream: Upstream
  /** Resolves once the conversation is open at the service. */
  isReady: Promise<void>
  /** The listener of a gate in front of it; `keys` are further keys, as YAML in one line, and so is `as`, another upstream. */
  listener(keys: string, as?: string): string
  /** The authority of the listener's certificate; null in the clear. */
  ca: string | null
}

/** A service for a gate to stand in front of. */
export async function startService(
  t: Test,
  transport: Transport,
  options: LineOptions = {},
): Promise<Service> {
  const { listen: begin, listenerAt, ...rest } = prepareService(t, transport, options)
  const upstream = await begin(0)
  return { ...rest, upstream, listener: listenerAt(upstream.port) }
}

/** One that does not listen yet. */
function prepareService(t: Test, transport: Transport, options: LineOptions) {
  const service = new Peer(transport, 'service')
  const ready = Promise.withResolvers<void>()
  const inbound = new HeadThen((head) => {
    queueMicrotask(
      () =>
        void service.wire
          .write(isHttp(transport) ? answerHead : switchingProtocols(head))
          .then(() => ready.resolve()),
    )
    return service.reader()
  })
  const server = isSecure(transport) ? someServer() : null
  const tls = server === null ? '' : `, tls: { cert: "${server.cert}", key: "${server.key}" }`
  const serve = (wire: Wire): void => {
    // A later connection is the gate's check of the address, or a conversation of the test's own.
    service.wire ??= wire
    if (!hasHead(transport)) ready.resolve()
  }
  return {
    service,
    isReady: ready.promise,
    ca: server?.ca ?? null,
    listen: (port: number) =>
      listen(
        t,
        serve,
        { into: hasHead(transport) ? inbound : service.reader() },
        options.unix === undefined ? { host: '127.0.0.1', port } : { path: `${options.unix}/service` },
      ),
    listenerAt: (port: number) => {
      const address = options.unix === undefined ? `127.0.0.1:${port}` : `unix:${options.unix}/service`
      const upstream = options.upstreamOf?.(port) ?? `"${address}"`
      const at = options.unix === undefined ? '' : `address: "unix:${options.unix}/gate", `
      return (keys: string, as = upstream) => `${at}${listenerOf(transport, as, tls, keys)}`
    },
  }
}

/** The client's first bytes: its head, and a first byte of payload. */
export function openingBytes(transport: Transport, headers: Record<string, string> = {}): Buffer {
  const head = hasHead(transport) ? headOf(transport, headers) : ''
  const byte = pattern(1, 1, 0)
  if (isHttp(transport)) return Buffer.concat([Buffer.from(`${head}1\r\n`), byte, Buffer.from('\r\n')])
  return Buffer.concat([
    Buffer.from(head),
    isWebSocket(transport) ? encodeFrame({ opcode: 'binary', payload: byte, mask: true }) : byte,
  ])
}

/** An open conversation: bytes have gone both ways. */
export async function openLine(
  t: Test,
  transport: Transport,
  keys = '',
  options: LineOptions = {},
): Promise<Line> {
  const { service, isReady, listenerAt, ca, listen: begin } = prepareService(t, transport, options)
  const early = options.late === undefined ? await begin(0) : null
  const port = early?.port ?? freePort()
  const listener = listenerAt(port)
  const client = new Peer(transport, 'client')
  const gate = await startGate(t, [listener(keys)], options.parts ?? {}, options.top ?? '')
  client.wire = isStream(transport)
    ? await streamOf(t, gate.port, client, transport, options)
    : await wireOf(t, gate.port, client, transport, { ca, options })
  await client.send(1)
  await options.late?.(gate)
  const upstream = early ?? (await begin(port))
  await eventually(() => service.got.bytes === 1, { what: 'a first byte at the service', withinMs: 20_000 })
  await isReady
  await service.send(1)
  await eventually(() => client.got.bytes === 1, { what: 'a first byte at the client', withinMs: 20_000 })
  if (options.unread) client.wire.stopReading()
  return { gate, ca, client, service, upstream, listener }
}

/** Its head is sent. */
async function wireOf(
  t: Test,
  port: number,
  client: Peer,
  transport: Transport,
  { ca, options }: { ca: string | null; options: LineOptions },
): Promise<Wire> {
  const outbound = hasHead(transport) ? new HeadThen(() => client.reader()) : client.reader()
  const wireOptions = { into: outbound, halfOpen: true }
  const wire =
    ca === null
      ? await connect(t, options.unix === undefined ? port : `${options.unix}/gate`, wireOptions)
      : await tlsConnect(t, port, { ca, ...wireOptions, options: { allowHalfOpen: true } as object })
  if (hasHead(transport)) void wire.write(headOf(transport, options.headers))
  return wire
}

function streamOf(
  t: Test,
  port: number,
  client: Peer,
  transport: Transport,
  { headers = {} }: LineOptions,
): Promise<Wire> {
  const head = isWebSocket(transport)
    ? websocketHead(headers)
    : { ':method': 'POST', ':path': '/', ...headers }
  return h2Wire(t, port, head, { into: client.reader() })
}

const hasHead = (transport: Transport): boolean => isHttp(transport) || isWebSocket(transport)

function headOf(transport: Transport, headers: Record<string, string> = {}): string {
  if (!isHttp(transport)) return upgradeRequest({ headers })
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n${more.join('')}\r\n`
}

const answerHead = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'

/**
 * Runs one body over each of these transports, as a subtest each, several at a time; none may leave anything behind. Use all at once for bodies
 * that mostly wait, without a short deadline.
 */
export function forEachTransport(
  t: Test,
  names: readonly Transport[],
  body: (t: Test, transport: Transport) => Promise<unknown>,
  jobs = 4,
): Promise<unknown> {
  watchLeaks(t)
  if (names.some(isSecure)) someServer()
  t.jobs = jobs
  return Promise.all(
    names.map((transport) => t.test(transport, { buffered: true }, (t) => body(t, transport))),
  )
}
