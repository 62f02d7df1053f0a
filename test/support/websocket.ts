// WebSocket peers: a client by hand and an upstream by script, for bytes that no library would send, and the real `ws` on
// either side, for a real peer's judgement of our bytes.

import type { Test } from 'tap'
import { once } from 'node:events'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket, WebSocketServer, type ClientOptions, type ServerOptions } from 'ws'
import { eventually, within, type Wait } from './eventually.ts'
import { encodeFrame, FrameReader, type Frame, type FrameSpec } from './frames.ts'
import { switchingProtocols, upgradeRequest, type HandshakeOptions } from './handshake.ts'
import { parseHead, type Head } from './http.ts'
import { connect, listen, type ConnectOptions, type Upstream } from './peers.ts'
import type { Wire } from './wire.ts'

/** Reads a wire as frames, from its current position. */
export class FrameWire {
  readonly wire: Wire
  readonly #reader = new FrameReader()
  readonly #all: Frame[] = []
  #next = 0

  constructor(wire: Wire) {
    this.wire = wire
  }

  /** All frames that have come so far. */
  frames(): Frame[] {
    this.#all.push(...this.#reader.push(this.wire.takeUnread()))
    return this.#all
  }

  /** The next frame that `nextFrame` has not returned; throws when the connection closes first. */
  async nextFrame(wait: Wait = {}): Promise<Frame> {
    while (this.frames().length <= this.#next) {
      if (this.wire.hasEnded || this.wire.outcome !== null)
        throw new Error('closed while waiting for a frame')
      await within(this.wire.news(), { what: 'a frame', ...wait })
    }
    return this.#all[this.#next++]!
  }

  /** Bytes of an incomplete frame. */
  get unfinished(): number {
    this.frames()
    return this.#reader.rest.length
  }

  send(bytes: Uint8Array | string): Promise<boolean> {
    return this.wire.write(bytes)
  }

  sendFrame(spec: FrameSpec): Promise<boolean> {
    return this.send(encodeFrame(spec))
  }

  get closed(): Wire['closed'] {
    return this.wire.closed
  }
}

export class RawClient extends FrameWire {
  /** The head of the answer; null without a handshake. */
  answer: Head | null = null

  /** Masked, as a client must, unless `mask` says otherwise. */
  override sendFrame(spec: FrameSpec): Promise<boolean> {
    return super.sendFrame({ mask: true, ...spec })
  }

  /** Sends the upgrade request and reads the head of the answer, whatever it is. */
  async handshake(options: HandshakeOptions = {}): Promise<Head> {
    void this.wire.write(upgradeRequest(options))
    this.answer = parseHead(await this.wire.readUntil('\r\n\r\n', { what: 'the answer to an upgrade' }))
    return this.answer!
  }
}

export interface RawClientOptions extends HandshakeOptions, ConnectOptions {
  /** False connects only; true, as without it, throws unless the answer is 101. */
  handshake?: boolean
}

export async function rawClient(t: Test, port: number, options: RawClientOptions = {}): Promise<RawClient> {
  const client = new RawClient(await connect(t, port, options))
  if (options.handshake === false) return client
  const { line } = await client.handshake(options)
  if (!line.startsWith('HTTP/1.1 101 ')) throw new Error(`the answer to the upgrade was ${line}`)
  return client
}

/** The record of one end of a `ws` connection. */
export interface WsSeen {
  socket: WebSocket
  headers: IncomingHttpHeaders
  url: string
  messages: { data: Buffer; isBinary: boolean }[]
  pings: Buffer[]
  pongs: Buffer[]
  /** The error of `ws` for a broken stream, such as "Invalid WebSocket frame: ..." */
  errors: string[]
  /** 1006 without a Close frame. */
  closed: Promise<{ code: number; reason: string }>
}

function watch(socket: WebSocket, headers: IncomingHttpHeaders, url: string): WsSeen {
  const closed = Promise.withResolvers<{ code: number; reason: string }>()
  const seen: WsSeen = {
    socket,
    headers,
    url,
    messages: [],
    pings: [],
    pongs: [],
    errors: [],
    closed: closed.promise,
  }
  socket.on('message', (data, isBinary) => seen.messages.push({ data: data as Buffer, isBinary }))
  socket.on('ping', (data) => seen.pings.push(data))
  socket.on('pong', (data) => seen.pongs.push(data))
  socket.on('error', (error) => seen.errors.push(error.message))
  socket.on('close', (code, reason) => closed.resolve({ code, reason: reason.toString() }))
  return seen
}

export interface WsServer {
  port: number
  url: string
  connections: WsSeen[]
  /** The nth connection, from 0, once it is open. */
  connection(nth?: number): Promise<WsSeen>
}

export interface WsServerOptions extends ServerOptions {
  /** False sends nothing by itself. */
  echo?: boolean
}

/** The real `ws` as the legacy service: echoes messages as they came, and records them. By default without permessage-deflate. */
export async function wsServer(
  t: Test,
  { echo = true, ...options }: WsServerOptions = {},
): Promise<WsServer> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, ...options })
  const connections: WsSeen[] = []
  server.on('connection', (socket, request) => {
    connections.push(watch(socket, request.headers, request.url ?? ''))
    if (echo) socket.on('message', (data, binary) => socket.send(data, { binary }))
  })
  t.teardown(async () => {
    for (const { socket } of connections) socket.terminate()
    await new Promise((resolve) => server.close(resolve))
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    port,
    url: `ws://127.0.0.1:${port}`,
    connections,
    connection: (nth = 0) => eventually(() => connections[nth], { what: `WebSocket ${nth} at the upstream` }),
  }
}

export interface WsClient extends WsSeen {
  /** Resolves once `ws` has handed it to the kernel; false when it could not. */
  send(data: Uint8Array | string): Promise<boolean>
  /** The next message that `nextMessage` has not returned. */
  nextMessage(wait?: Wait): Promise<{ data: Buffer; isBinary: boolean }>
}

export interface WsClientOptions extends ClientOptions {
  protocols?: string[]
}

/** The real `ws` as the client, opened. By default without permessage-deflate. Rejects with the error of `ws` if it does not open. */
export async function wsClient(t: Test, url: string, given: WsClientOptions = {}): Promise<WsClient> {
  const { protocols = [], ...options } = given
  const socket = new WebSocket(url, protocols, { perMessageDeflate: false, ...options })
  const headers: IncomingHttpHeaders = {}
  socket.once('upgrade', (response) => Object.assign(headers, response.headers))
  const seen = watch(socket, headers, url)
  t.teardown(() => {
    socket.terminate()
    return seen.closed
  })
  await within(once(socket, 'open'), { what: `${url} to open` })
  let next = 0
  return Object.assign(seen, {
    send: (data: Uint8Array | string) =>
      new Promise<boolean>((resolve) => socket.send(data, (error) => resolve(!error))),
    nextMessage: async (wait?: Wait) => {
      const nth = next++
      return eventually(() => seen.messages[nth], { what: `message ${nth}`, ...wait })
    },
  })
}

/** One connection of a scripted upstream, its request head read. */
export class Conversation extends FrameWire {
  readonly head: Head

  constructor(wire: Wire, head: Head) {
    super(wire)
    this.head = head
  }

  /** Answers with a right 101; frames may follow in `bytes`, in the same packet. */
  accept(headers: Record<string, string | null> = {}, bytes: Uint8Array = Buffer.alloc(0)): Promise<boolean> {
    return this.send(Buffer.concat([Buffer.from(switchingProtocols(this.head, headers)), bytes]))
  }
}

export interface ScriptedUpstream extends Upstream {
  /** One for each request head that came, in order. */
  conversations: Conversation[]
}

/** Reads one HTTP head, then calls the test's handler. Ignores the handler's errors once the peer is gone. */
export async function scriptedUpstream(
  t: Test,
  handler: (said: Conversation) => unknown,
): Promise<ScriptedUpstream> {
  const conversations: Conversation[] = []
  const upstream = await listen(t, async (wire) => {
    const bytes = await wire.readUntil('\r\n\r\n', { withinMs: 60_000 }).catch(() => null)
    if (bytes === null) return
    const conversation = new Conversation(wire, parseHead(bytes)!)
    conversations.push(conversation)
    try {
      await handler(conversation)
    } catch (error) {
      if (!wire.hasEnded && wire.outcome === null) throw error
    }
  })
  return { ...upstream, conversations }
}
