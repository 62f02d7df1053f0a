// A socket as an Endpoint. Writes go to the kernel at once; bytes that it does not take are queued here, and
// counted exactly.
//
//   write -> kernel takes all (nearly always)                              nothing is kept
//         -> kernel takes a part: that buffer belongs to the write (lent)  later writes wait in KeptBytes
//            until it is flushed, then up to 64 KiB of what waits, and so on: the queue and its progress are visible
//
// Handlers are shared functions that find their endpoint on the socket: no closure per socket and event.
//
// A TLS socket is handled like any other, with the raw socket beneath it (raw-socket.ts) for what only that
// shows or does: what the kernel holds, RST, keep-alive. It is read by `data` events, and each of its writes
// waits for its ciphertext.

import net from 'node:net'
import type { Manner, PeerSide } from '../core/close.ts'
import { Delivery } from './delivery.ts'
import { cork, corked, discardGathered, gather, uncork } from './cork.ts'
import type { Corkable } from './cork.ts'
import { KeptBytes } from './kept-bytes.ts'
import { KernelView } from './kernel-view.ts'
import { acceptWith, onRead, startReading, unwritten, WRITABLE_MARK } from './read-buffer.ts'
import { hearLastWords } from './last-words.ts'
import type { Endpoint, EndpointOwner, LookedAt } from './endpoint.ts'
import { isSecure, rawOf, setRaw } from './raw-socket.ts'
import { resetSocket } from './reset.ts'
import { checkStranded } from './stranded.ts'
import { copyOut, giveBack, LARGEST_WRITE, lend } from './write-buffers.ts'
import { NOTHING } from '../core/nothing.ts'

const kEndpoint = Symbol('endpoint')
type OwnedSocket = net.Socket & { [kEndpoint]?: SocketEndpoint | undefined }

/** How sockets are read: into a shared buffer of `readBytes` if `checkAdoption` passed, else by `data`. */
export interface ReadOptions {
  readBytes: number
  usesSharedBuffer: boolean
}

export class SocketEndpoint implements Endpoint, Corkable {
  readonly side: PeerSide
  owner: EndpointOwner
  readonly #socket: net.Socket
  /** Bytes of the writes in progress. Our own count: Node loses its own when a socket is destroyed. */
  #unflushed = 0
  /** The bytes that wait after the writes in progress. */
  #kept: KeptBytes | null = null
  /** The kernel had no room for all of the writes in progress: not only their ciphertext is waited for. */
  #isHeldUp = false
  /** The writes in progress that the kernel has taken so far. */
  #flushes = 0
  /** The buffer of a write in progress, to be recycled. */
  #lent: Buffer | null = null
  /** The kernel's answers; null until the first question. */
  #kernel: KernelView | null = null
  #onFlushed: ((error?: Error | null) => void) | null = null
  #error: NodeJS.ErrnoException | null = null
  #isEnding = false
  /** `end` was called; also before an RST that follows the last byte. */
  #owesFin = false
  /** An RST follows what is queued, in place of FIN. */
  #delivery: Delivery | null = null

  constructor(side: PeerSide, socket: net.Socket, owner: EndpointOwner) {
    this.side = side
    this.#socket = socket
    this.owner = owner
    const owned = socket as OwnedSocket
    owned[kEndpoint] = this
    owned.on('end', onEnd).on('error', onError).on('close', onClose)
  }

  get queued(): number {
    return this.#unflushed + (this.#kept === null ? 0 : this.#kept.length)
  }

  get unacked(): number {
    const inKernel = (this.#delivery ?? this.#kernel)?.bytes ?? 0
    if (this.#unflushed === 0) return inKernel
    return unwritten(this.#socket, this.#unflushed) + (this.#kept === null ? 0 : this.#kept.length) + inKernel
  }

  measure(): void {
    if (this.#delivery !== null) return this.#delivery.look()
    ;(this.#kernel ??= new KernelView(this.#socket)).measure()
  }

  checkPeer(): void {
    if (this.#unflushed !== 0) checkStranded(this.#socket, this.side, () => this.#flushes)
  }

  hasPeerLeft(): boolean {
    // An empty write sends nothing, and fails where the peer has reset the socket, or closed a unix socket.
    if (this.queued === 0 && !this.#isEnding && !this.#socket.destroyed) rawOf(this.#socket).write(NOTHING)
    const kernel = (this.#kernel ??= new KernelView(this.#socket))
    kernel.look()
    return kernel.hasEnded
  }

  look(): LookedAt {
    const kernel = (this.#kernel ??= new KernelView(this.#socket))
    kernel.look()
    return kernel
  }

  get measurements(): number {
    return (this.#delivery ?? this.#kernel)?.measurements ?? 0
  }

  get isClosed(): boolean {
    return this.#socket.destroyed || rawOf(this.#socket).destroyed
  }

  get isBroken(): boolean {
    return this.#socket.errored !== null || this.#socket.destroyed
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (this.#isEnding || this.#socket.destroyed) return
    if (corked === this) gather(this, bytes, start, end)
    else this.writeNow(bytes, start, end)
  }

  writeNow(bytes: Buffer, start: number, end: number): void {
    const socket = this.#socket
    while (start < end) {
      if (this.#unflushed !== 0) {
        ;(this.#kept ??= new KeptBytes()).append(bytes, start, end)
        return
      }
      const next = Math.min(end, start + LARGEST_WRITE)
      const view = copyOut(bytes, start, next)
      socket.write(view)
      if (socket.writableLength !== 0) {
        lend(view)
        this.#lent = view
        this.#unflushed = next - start
        this.#watchFlush(NOTHING)
        this.#isHeldUp = unwritten(socket, this.#unflushed) > 0
      }
      start = next
    }
  }

  cork(): void {
    cork(this)
  }

  uncork(): void {
    uncork(this)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#socket.destroyed) startReading(this.#socket)
  }

  keepAlive(ms: number): void {
    rawOf(this.#socket).setKeepAlive(true, ms)
  }

  end(): void {
    if (this.#isEnding) return
    uncork(this)
    this.#isEnding = this.#owesFin = true
    // The waiting bytes go piece by piece as ever, and FIN after them: handed to Node all at once, they would
    // neither be counted nor seen to move, and a reader that stalls on the tail would never be found.
    if (this.#kept === null || this.#kept.length === 0) this.#socket.end()
  }

  conclude(): void {
    uncork(this)
    // Both ends would be FIN anyway: closing at once sends ours and saves a shutdown and its wait. TLS still
    // has to send its close_notify.
    if (this.#unflushed === 0 && !isSecure(this.#socket)) this.#socket.destroy()
    this.end()
  }

  close(manner: Manner): void {
    if (this.#socket.destroyed) return
    uncork(this)
    if (manner === 'flush') {
      if (this.#socket.readableEnded) this.conclude()
      else this.end()
      this.resume()
    } else if (manner === 'deliver') {
      this.#isEnding = true
      this.#delivery ??= new Delivery(this.#socket, (this.#kernel ??= new KernelView(this.#socket)))
      this.resume()
      if (this.queued === 0) this.#delivery.look()
    } else if (manner === 'drop') {
      this.#socket.destroy()
    } else {
      resetSocket(this.#socket)
    }
  }

  /** Writes `bytes`, and calls back when the kernel has taken all that the socket holds. */
  #watchFlush(bytes: Buffer): void {
    this.#onFlushed ??= (error) => {
      if (error === undefined || error === null) this.#flushed()
    }
    this.#socket.write(bytes, this.#onFlushed)
  }

  #flushed(): void {
    this.#unflushed = 0
    this.#flushes++
    if (this.#isHeldUp) this.#kernel?.forget()
    if (this.#lent !== null) giveBack(this.#lent)
    this.#lent = null
    if (this.#kept !== null && this.#kept.length > 0) {
      this.#writeKept(this.#kept)
      if (this.#owesFin && this.#kept.length === 0) this.#socket.end()
    } else if (this.#delivery !== null) {
      this.#delivery.look()
    }
    this.owner.onProgress(this)
  }

  #writeKept(kept: KeptBytes): void {
    const pieces = kept.takeUpTo(LARGEST_WRITE)
    for (const piece of pieces) this.#unflushed += piece.length
    const last = pieces.pop()!
    this.#socket.cork()
    for (const piece of pieces) this.#socket.write(piece)
    this.#watchFlush(last)
    this.#socket.uncork()
    this.#isHeldUp = unwritten(this.#socket, this.#unflushed) > 0
  }

  /** Hands the socket over as an ordinary stream, in its present state; this endpoint is dead then. */
  release(): net.Socket {
    const socket = this.#socket as OwnedSocket
    socket.off('end', onEnd).off('error', onError).off('close', onClose).off('data', onData)
    // `delete` would turn the socket, which goes on to carry TLS, into a slow map.
    socket[kEndpoint] = undefined
    return socket
  }

  onSocketError(error: NodeJS.ErrnoException): void {
    this.#error ??= error
    // After a broken TLS record, Node reports the error and leaves the socket as it is.
    if (isSecure(this.#socket)) resetSocket(this.#socket)
  }

  onSocketClosed(): void {
    discardGathered(this)
    // The gate drops the bytes that the peer did not take, and goes on counting them as such.
    this.#unflushed = this.queued
    this.#kept = null
    this.#lent = null
    this.owner.onClosed(this, this.#error)
  }
}

/**
 * Calls `onSocket` for each connection that a listening `server` (with `pauseOnConnect`) accepts, for
 * `clientEndpoint` to take.
 */
export function acceptSockets(
  server: net.Server,
  read: ReadOptions,
  onSocket: (socket: net.Socket) => void,
): void {
  if (read.usesSharedBuffer) acceptWith(server, onRead(read.readBytes, onShared), onSocket)
  else server.on('connection', onSocket)
}

/** The client side of a connection, from `acceptSockets`. Paused until resumed. */
export function clientEndpoint(socket: net.Socket, read: ReadOptions, owner: EndpointOwner): SocketEndpoint {
  const endpoint = new SocketEndpoint('client', socket, owner)
  if (!read.usesSharedBuffer || isSecure(socket)) {
    socket.pause()
    socket.on('data', onData)
  }
  return endpoint
}

/** The client side of a connection that speaks TLS over `raw`, after its handshake. Paused until resumed. */
export function secureClientEndpoint(
  socket: net.Socket,
  raw: net.Socket,
  read: ReadOptions,
  owner: EndpointOwner,
): SocketEndpoint {
  setRaw(socket, raw)
  return clientEndpoint(socket, read, owner)
}

/** The socket options of a dial whose socket, or the TLS socket over it, goes to `dialledEndpoint`. */
export function dialOptions(
  read: ReadOptions,
  isUnderTls: boolean,
): { writableHighWaterMark: number; onread?: net.OnReadOpts } {
  return {
    writableHighWaterMark: WRITABLE_MARK,
    // TLS reads from the socket itself, by `data` events of its own.
    ...(read.usesSharedBuffer && !isUnderTls ? { onread: onRead(read.readBytes, onShared) } : {}),
  }
}

/** The upstream side: a connected socket that was opened with `dialOptions`. Reads at once. */
export function dialledEndpoint(socket: net.Socket, read: ReadOptions, owner: EndpointOwner): SocketEndpoint {
  const endpoint = new SocketEndpoint('upstream', socket, owner)
  if (!read.usesSharedBuffer || isSecure(socket)) socket.on('data', onData)
  hearLastWords(socket)
  startReading(socket)
  return endpoint
}

function onShared(this: net.Socket, length: number, bytes: Buffer): boolean {
  const endpoint = (this as OwnedSocket)[kEndpoint]
  // A released socket is an ordinary stream, which keeps the bytes that it gets.
  if (endpoint === undefined) return this.push(Buffer.from(bytes.subarray(0, length)))
  return endpoint.owner.onBytes(endpoint, bytes, length)
}

function onData(this: net.Socket, chunk: Buffer): void {
  const endpoint = (this as OwnedSocket)[kEndpoint]!
  if (!endpoint.owner.onBytes(endpoint, chunk, chunk.length)) this.pause()
}

function onEnd(this: net.Socket): void {
  const endpoint = (this as OwnedSocket)[kEndpoint]!
  endpoint.owner.onEnd(endpoint)
}

function onError(this: net.Socket, error: NodeJS.ErrnoException): void {
  ;(this as OwnedSocket)[kEndpoint]!.onSocketError(error)
}

function onClose(this: net.Socket): void {
  ;(this as OwnedSocket)[kEndpoint]!.onSocketClosed()
}
