// The clients of the show: one over a bare socket, which can break every rule, and one that keeps them all
// (`ws`). Both know the address by which the gate sees them, and can describe in a few words what they got.

import { randomBytes } from 'node:crypto'
import net from 'node:net'
import { WebSocket } from 'ws'
import { sleep } from './sleep.ts'

const HOST = '127.0.0.1'
/** Bytes kept for the description; the rest is only counted. */
const KEPT_BYTES = 64 * 1024
const CLOSE = 0x88
/** The head of a ping of the gate: eight bytes of payload. */
const PING = Buffer.from([0x89, 8])

/** The gate's name for a client: two clients of different ports of the gate may have the same local port. */
export function addressOf({ localPort, remotePort }: net.Socket): string {
  return `${HOST}:${localPort} to ${remotePort}`
}

/** A client over a bare socket. It sends FIN after the gate's FIN, and otherwise only what a scene orders. */
export class RawClient {
  /** The gate's name for it. */
  readonly address: string
  readonly #socket: net.Socket
  readonly #closed = Promise.withResolvers<void>()
  #kept: Buffer = Buffer.alloc(0)
  #bytes = 0
  #isReset = false

  /** Resolves when it is connected. */
  static async open(port: number): Promise<RawClient> {
    const socket = net.connect({ host: HOST, port, allowHalfOpen: true, noDelay: true })
    await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject))
    return new RawClient(socket)
  }

  /** Resolves when the upgrade was answered with 101. */
  static async upgraded(port: number, path: string): Promise<RawClient> {
    const client = await RawClient.open(port)
    client.send(upgradeHead(path))
    while (!client.#kept.includes('\r\n\r\n') && !client.isClosed) await sleep(5)
    return client
  }

  private constructor(socket: net.Socket) {
    this.#socket = socket
    this.address = addressOf(socket)
    socket.on('data', (chunk: Buffer) => this.#onData(chunk))
    socket.on('end', () => socket.end())
    socket.on('error', () => (this.#isReset = true))
    socket.on('close', () => this.#closed.resolve())
  }

  get isClosed(): boolean {
    return this.#socket.closed
  }

  send(bytes: string | Buffer): void {
    this.#socket.write(bytes)
  }

  /** Answers the first ping; resolves once it has. */
  async answerPing(): Promise<void> {
    while (!this.#kept.includes(PING) && !this.isClosed) await sleep(5)
    const at = this.#kept.indexOf(PING) + PING.length
    // A mask of zeros leaves the payload as it is.
    this.send(Buffer.concat([Buffer.from([0x8a, 0x88, 0, 0, 0, 0]), this.#kept.subarray(at, at + 8)]))
  }

  /** Sends FIN: its half ends. */
  end(): void {
    this.#socket.end()
  }

  stopReading(): void {
    this.#socket.pause()
  }

  resumeReading(): void {
    this.#socket.resume()
  }

  /** From now on reads one chunk (at most 64 KiB) in each interval. */
  readSlowly(everyMs: number): void {
    this.#socket.on('data', () => {
      this.#socket.pause()
      void sleep(everyMs).then(() => this.#socket.resume())
    })
  }

  /** Resolves when both halves are closed. */
  closed(): Promise<void> {
    return this.#closed.promise
  }

  #onData(chunk: Buffer): void {
    this.#bytes += chunk.length
    if (this.#kept.length < KEPT_BYTES) this.#kept = Buffer.concat([this.#kept, chunk])
  }

  get ending(): 'FIN' | 'RST' {
    return this.#isReset ? 'RST' : 'FIN'
  }

  /** `HTTP 408`, `close 1002 protocol_error`, `"hello", FIN`, `8 MiB, FIN`. */
  saw(): string {
    const head = this.#kept.indexOf('\r\n\r\n')
    const status = /^HTTP\/1\.1 (\d+)/.exec(this.#kept.toString('latin1', 0, 32))?.[1]
    if (status === '101') return closeFrameIn(this.#kept, head + 4) ?? this.ending
    if (status !== undefined) return `HTTP ${status}`
    if (this.#bytes === 0) return this.ending
    const isShort = this.#bytes <= 16
    return `${isShort ? JSON.stringify(this.#kept.toString('latin1').trimEnd()) : sizeText(this.#bytes)}, ${this.ending}`
  }
}

function sizeText(bytes: number): string {
  return bytes % (1024 * 1024) === 0 ? `${bytes / (1024 * 1024)} MiB` : `${bytes} bytes`
}

/** Searches frames of a server (short ones, not masked) for a Close. */
function closeFrameIn(bytes: Buffer, start: number): string | null {
  for (let at = start; at + 2 <= bytes.length; at += 2 + (bytes[at + 1]! & 0x7f)) {
    const length = bytes[at + 1]! & 0x7f
    if (bytes[at] === CLOSE && length >= 2)
      return closeText(bytes.readUInt16BE(at + 2), bytes.toString('utf8', at + 4, at + 2 + length))
  }
  return null
}

function closeText(code: number, text: string): string {
  return `close ${code} ${text}`.trimEnd()
}

/** The head of an upgrade as a browser sends it; `fields` replace its own. */
export function upgradeHead(path: string, fields: Record<string, string> = {}): string {
  const headers = {
    Host: 'demo',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
    ...fields,
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** A client that keeps the rules: it answers pings and closing handshakes by itself. */
export class GoodWebSocket {
  readonly address: string
  readonly #socket: WebSocket
  readonly #saw: Promise<string>

  /** Resolves when the upgrade was accepted. */
  static async open(port: number, path: string): Promise<GoodWebSocket> {
    const socket = new WebSocket(`ws://${HOST}:${port}${path}`, { perMessageDeflate: false })
    return await new Promise((resolve, reject) => {
      let address = ''
      socket.once('upgrade', (response) => (address = addressOf(response.socket)))
      socket.once('open', () => resolve(new GoodWebSocket(socket, address)))
      socket.once('error', reject)
    })
  }

  private constructor(socket: WebSocket, address: string) {
    this.#socket = socket
    this.address = address
    socket.on('error', () => {})
    this.#saw = new Promise((resolve) =>
      socket.on('close', (code, reason) => resolve(closeText(code, reason.toString()))),
    )
  }

  /** Sends a message and resolves with the next one received. */
  ask(text: string): Promise<string> {
    this.#socket.send(text)
    return new Promise((resolve) => this.#socket.once('message', (data: Buffer) => resolve(data.toString())))
  }

  send(message: Buffer): void {
    this.#socket.send(message)
  }

  close(): void {
    this.#socket.close(1000)
  }

  /** Resolves at the end with `close 1000`. */
  saw(): Promise<string> {
    return this.#saw
  }
}
