// One end of a real TCP connection in a test: the client's, or the one that an upstream accepted. It records
// its bytes and its end, and every wait on it is bounded.

import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { pattern } from './bytes.ts'
import { eventually, within, type Wait } from './eventually.ts'

/** How it ended. fin: the peer's FIN came. reset: an error, named by `code`. local: we closed it before either. */
export interface Closed {
  kind: 'fin' | 'reset' | 'local'
  code: string | null
}

export interface WireOptions {
  /** Gets every chunk, and the wire keeps none: for streams too long to store. */
  into?: { write(chunk: Buffer): void }
  /** Reads nothing at all until `resumeReading()`; without it a paused socket still reads up to its high-water mark. */
  unread?: boolean
}

/** The most bytes of a stream that a Wire keeps. */
const KEPT_BYTES = 16 * 1024 * 1024

export interface FloodOptions {
  /** How much to send before ending our half; by default Infinity. */
  total?: number
  /** The stream of `pattern` that is sent. */
  seed?: number
  chunk?: number
  /** Leaves our half open after the last byte. */
  keepOpen?: boolean
}

export class Wire {
  readonly socket: Socket
  /** Bytes read. */
  bytes = 0
  /** Bytes that our kernel took. */
  sent = 0
  /** The peer's FIN has come. */
  hasEnded = false
  /** Null while it is open. */
  outcome: Closed | null = null
  /** True with the peer's FIN, false when the connection closed without one. */
  readonly ended: Promise<boolean>
  readonly closed: Promise<Closed>
  #kept: Buffer[] = []
  #taken = 0
  #isTooLong = false
  #wake = Promise.withResolvers<void>()
  readonly #hash = createHash('sha256')

  constructor(socket: Socket, options: WireOptions = {}) {
    this.socket = socket
    const ended = Promise.withResolvers<boolean>()
    const closed = Promise.withResolvers<Closed>()
    this.ended = ended.promise
    this.closed = closed.promise
    let code: string | null = null
    socket.setNoDelay(true)
    socket.on('error', (error: NodeJS.ErrnoException) => (code ??= error.code ?? error.message))
    if (options.unread) socket.pause()
    socket.on('data', (chunk) => this.#onData(chunk as Buffer, options.into))
    socket.on('end', () => {
      this.hasEnded = true
      ended.resolve(true)
      this.#notify()
    })
    socket.on('close', () => {
      this.outcome = { kind: code === null ? (this.hasEnded ? 'fin' : 'local') : 'reset', code }
      ended.resolve(this.hasEnded)
      closed.resolve(this.outcome)
      this.#notify()
    })
  }

  /** SHA-256 of the bytes read so far. */
  get sha256(): string {
    return this.#hash.copy().digest('hex')
  }

  /** Resolves with all bytes read, once the stream has ended or the connection closed. */
  get received(): Promise<Buffer> {
    return this.ended.then(() => this.#whole())
  }

  /** True once the kernel took the bytes, false when the connection closed before. */
  write(bytes: Uint8Array | string): Promise<boolean> {
    return new Promise((resolve) => {
      this.socket.write(bytes, (error) => {
        if (!error) this.sent += Buffer.byteLength(bytes)
        resolve(!error)
      })
    })
  }

  /** Sends as fast as the kernel takes it; resolves when it has taken all, or when the connection has closed. */
  async flood({
    total = Infinity,
    seed = 0,
    chunk = 65_536,
    keepOpen = false,
  }: FloodOptions = {}): Promise<void> {
    const start = this.sent
    for (let done = 0; done < total; done = this.sent - start) {
      if (!(await this.write(pattern(Math.min(chunk, total - done), seed, done)))) return
    }
    if (!keepOpen) this.end()
  }

  /** Resolves when something waits to be sent and the kernel has taken none of it for `quietMs`. */
  async stalled(quietMs = 50, wait?: Wait): Promise<void> {
    let taken = -1
    let since = 0
    const isStalled = () => {
      if (taken !== this.sent || this.socket.writableLength === 0) since = performance.now()
      taken = this.sent
      return performance.now() - since > quietMs
    }
    await eventually(isStalled, { what: 'a stall', ...wait })
  }

  /** Exactly the next `n` bytes. */
  async read(n: number, wait?: Wait): Promise<Buffer> {
    await this.#until(() => this.unread >= n, { what: `${n} bytes`, ...wait })
    return this.#take(n)
  }

  /** The bytes up to and with `mark`. */
  async readUntil(mark: string | Uint8Array, wait?: Wait): Promise<Buffer> {
    const find = () => this.#whole().indexOf(mark, this.#taken)
    await this.#until(() => find() >= 0, { what: JSON.stringify(mark.toString()), ...wait })
    return this.#take(find() + Buffer.byteLength(mark) - this.#taken)
  }

  /** The number of bytes read that the test has not taken. */
  get unread(): number {
    return this.bytes - this.#taken
  }

  /** Takes the bytes that `read` and `readUntil` have not taken yet. */
  takeUnread(): Buffer {
    return this.#take(this.unread)
  }

  /** Resolves when bytes come, the stream ends, or the connection closes. */
  news(): Promise<void> {
    return this.#wake.promise
  }

  /** The socket still reads up to a high-water mark into memory; later bytes stay in the kernel. */
  stopReading(): void {
    this.socket.pause()
  }

  resumeReading(): void {
    this.socket.resume()
  }

  /** FIN: our half ends, after what was written. */
  end(bytes?: Uint8Array | string): void {
    if (bytes !== undefined) void this.write(bytes)
    this.socket.end()
  }

  /** RST; drops unsent bytes. */
  reset(): void {
    this.socket.resetAndDestroy()
  }

  destroy(): void {
    this.socket.destroy()
  }

  #take(n: number): Buffer {
    this.#taken += n
    return this.#whole().subarray(this.#taken - n, this.#taken)
  }

  #whole(): Buffer {
    if (this.#isTooLong) throw new Error(`more than ${KEPT_BYTES} bytes are not kept, see WireOptions.into`)
    if (this.#kept.length !== 1) this.#kept = [Buffer.concat(this.#kept)]
    return this.#kept[0]!
  }

  #onData(chunk: Buffer, into: WireOptions['into']): void {
    this.bytes += chunk.length
    this.#hash.update(chunk)
    this.#isTooLong ||= this.bytes > KEPT_BYTES || into !== undefined
    into?.write(chunk)
    if (this.#isTooLong) this.#kept = []
    else this.#kept.push(chunk)
    this.#notify()
  }

  #notify(): void {
    const { resolve } = this.#wake
    this.#wake = Promise.withResolvers()
    resolve()
  }

  async #until(isSo: () => boolean, wait: Wait): Promise<void> {
    while (!isSo()) {
      if (this.hasEnded || this.outcome !== null) throw new Error(`closed while waiting for ${wait.what}`)
      await within(this.news(), wait)
    }
  }
}
