// An Endpoint without a socket. The test is its peer: it feeds bytes, FIN and RST, and says how many bytes are taken.
// As with a socket, a paused one is blind (FIN and RST wait after the bytes), the next read overwrites the bytes once
// the owner returns, `queued` falls only when a whole write is complete, and the endpoint never calls the owner from within
// `write`, `resume`, `end` or `close`: their effects come a microtask later.

import type { Manner, PeerSide } from '../../src/core/close.ts'
import type { Endpoint, EndpointOwner, LookedAt } from '../../src/endpoint/endpoint.ts'

export interface MemoryOptions {
  /** The most that one read brings; by default 64 KiB. */
  readBytes?: number
  /** Bytes that the peer takes before it stalls; by default Infinity. */
  takes?: number
}

const LARGEST_WRITE = 65_536

export class MemoryEndpoint implements Endpoint {
  readonly side: PeerSide
  owner: EndpointOwner
  isClosed = false
  isPaused = true
  /** Our half was ended. */
  isEnding = false
  /** RST follows the queue. */
  #isDelivering = false
  /** The manners of the calls of `close` that found it open. */
  readonly closes: Manner[] = []
  keepAliveMs: number | null = null
  /** Bytes that the kernel has taken and the peer has not, as last measured: part of `unacked`. */
  inKernel = 0
  #seenInKernel = 0
  /** Of those, the bytes that have reached the peer's host. */
  unreadByPeer = 0
  readonly #looked = { unacknowledged: 0, unread: 0, looks: 0 }
  /** How often the owner looked closer. */
  measured = 0
  /** Where the owner can look closer, the number of finished looks. */
  measurements = Number.POSITIVE_INFINITY
  /** Bytes that the peer took; `gotFin` and `gotReset` say how it saw us end. */
  readonly #got: Buffer[] = []
  gotFin = false
  gotReset = false
  /** Bytes fed that the owner has not read. */
  unread = 0
  #takes: number
  readonly #readBytes: number
  readonly #inbox: Buffer[] = []
  #peerEnd: 'fin' | NodeJS.ErrnoException | null = null
  #hasReadEnd = false
  /** The write in progress: its size, and its bytes that the peer has not taken. */
  #writeSize = 0
  #writing: Buffer[] = []
  #waiting: Buffer[] = []

  constructor(side: PeerSide, owner: EndpointOwner, options: MemoryOptions = {}) {
    this.side = side
    this.owner = owner
    this.#readBytes = options.readBytes ?? 65_536
    this.#takes = options.takes ?? Number.POSITIVE_INFINITY
  }

  /** The peer sends. */
  feed(bytes: Buffer | string): void {
    const chunk = Buffer.from(bytes as string)
    if (chunk.length === 0 || this.isClosed || this.#peerEnd !== null) return
    this.#inbox.push(chunk)
    this.unread += chunk.length
    this.#read()
  }

  /** The peer ends its half. */
  fin(): void {
    this.#peerEnd ??= 'fin'
    this.#read()
  }

  /** The peer resets: the owner sees it after the earlier bytes; after the peer's FIN, at once. */
  rst(code = 'ECONNRESET'): void {
    const error = Object.assign(new Error(`read ${code}`), { code })
    if (this.#hasReadEnd) return this.#destroy(error)
    this.#peerEnd = error
    this.#read()
  }

  /** The descriptor goes without FIN or error, which a socket should never do. */
  vanish(): void {
    this.#destroy(null)
  }

  /** The peer takes `n` more bytes; returns how many of them were waiting. */
  take(n: number): number {
    const before = this.unacked
    this.#takes += n
    this.#pump()
    return before - this.unacked
  }

  /** The peer takes no more. */
  stall(): void {
    this.#takes = 0
  }

  /** Everything that the peer took. */
  get got(): Buffer {
    if (this.#got.length !== 1) this.#got.splice(0, this.#got.length, Buffer.concat(this.#got))
    return this.#got[0]!
  }

  get queued(): number {
    return this.#writeSize + sizeOf(this.#waiting)
  }

  get unacked(): number {
    return sizeOf(this.#writing) + sizeOf(this.#waiting) + this.#seenInKernel
  }

  measure(): void {
    this.measured += 1
    queueMicrotask(() => {
      this.#seenInKernel = this.inKernel
      this.measurements++
      this.#finish()
    })
  }

  /** `unacknowledged` is the bytes in the kernel, less the unread ones. */
  look(): LookedAt {
    queueMicrotask(() => {
      this.#looked.looks++
      this.#looked.unacknowledged = this.inKernel - this.unreadByPeer
      this.#looked.unread = this.unreadByPeer
    })
    return this.#looked
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (this.isEnding || this.isClosed || start >= end) return
    const copy = Buffer.from(bytes.subarray(start, end))
    if (this.#writeSize > 0) {
      this.#waiting.push(copy)
      return
    }
    this.#begin([copy])
    if (this.#takeWriting()) this.#writeSize = 0
  }

  cork(): void {}

  uncork(): void {}

  pause(): void {
    this.isPaused = true
  }

  resume(): void {
    if (this.isClosed) return
    this.isPaused = false
    queueMicrotask(() => this.#read())
  }

  keepAlive(ms: number): void {
    this.keepAliveMs = ms
  }

  end(): void {
    if (this.isEnding || this.isClosed) return
    this.isEnding = true
    queueMicrotask(() => this.#finish())
  }

  conclude(): void {
    if (this.isClosed) return
    if (this.queued > 0) return this.end()
    this.gotFin = true
    this.#destroy(null)
  }

  close(manner: Manner): void {
    if (this.isClosed) return
    this.closes.push(manner)
    if (manner === 'flush') {
      this.end()
      this.resume()
    } else if (manner === 'deliver') {
      this.isEnding = this.#isDelivering = true
      this.resume()
      if (this.queued === 0 && this.inKernel === 0) this.#finish()
      else this.measure()
    } else {
      this.gotFin ||= manner === 'drop'
      this.gotReset = manner === 'reset'
      this.#destroy(null)
    }
  }

  #read(): void {
    while (!this.isPaused && !this.isClosed && this.#inbox.length > 0) {
      const chunk = this.#inbox.shift()!
      const length = Math.min(chunk.length, this.#readBytes)
      if (length < chunk.length) this.#inbox.unshift(chunk.subarray(length))
      this.unread -= length
      const shared = Buffer.from(chunk.subarray(0, length))
      if (!this.owner.onBytes(this, shared, length)) this.isPaused = true
      shared.fill(0xee)
    }
    if (
      this.isPaused ||
      this.isClosed ||
      this.#peerEnd === null ||
      this.#hasReadEnd ||
      this.#inbox.length > 0
    )
      return
    this.#hasReadEnd = true
    if (this.#peerEnd !== 'fin') return this.#destroy(this.#peerEnd)
    this.owner.onEnd(this)
    this.#finish()
  }

  #begin(chunks: Buffer[]): void {
    this.#writing = chunks
    this.#writeSize = sizeOf(chunks)
  }

  /** True when the write in progress is complete. */
  #takeWriting(): boolean {
    while (this.#writing.length > 0 && this.#takes > 0) {
      const chunk = this.#writing.shift()!
      const taken = chunk.subarray(0, Math.min(this.#takes, chunk.length))
      this.#got.push(taken)
      this.#takes -= taken.length
      if (taken.length < chunk.length) this.#writing.unshift(chunk.subarray(taken.length))
    }
    return this.#writing.length === 0
  }

  #pump(): void {
    while (!this.isClosed && this.#writeSize > 0 && this.#takeWriting()) {
      this.#writeSize = 0
      if (this.#waiting.length > 0) this.#begin(takeUpTo(this.#waiting, LARGEST_WRITE))
      this.owner.onProgress(this)
    }
    this.#finish()
  }

  /** FIN after the last byte; the descriptor goes once both halves have ended. */
  #finish(): void {
    if (this.isClosed || !this.isEnding || this.queued > 0) return
    if (this.#isDelivering) {
      if (this.unacked > 0 || this.inKernel > 0) return
      this.gotReset = true
      return this.#destroy(null)
    }
    this.gotFin = true
    if (this.#hasReadEnd) this.#destroy(null)
  }

  #destroy(error: NodeJS.ErrnoException | null): void {
    if (this.isClosed) return
    this.isClosed = true
    queueMicrotask(() => this.owner.onClosed(this, error))
  }
}

function sizeOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0)
}

function takeUpTo(chunks: Buffer[], limit: number): Buffer[] {
  const taken: Buffer[] = []
  while (chunks.length > 0 && (taken.length === 0 || sizeOf(taken) + chunks[0]!.length <= limit))
    taken.push(chunks.shift()!)
  return taken
}
