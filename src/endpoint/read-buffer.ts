// Reading without allocation: every socket reads into one shared buffer, and the callee copies the bytes that
// it keeps. It halves the cost of large chunks and the memory of an idle pair (figures in bench/README.md).
//
// `onread` is documented for sockets that we open (net.connect). For an accepted socket it takes the socket's
// handle, which is not documented: only this file touches it, `checkAdoption` proves at start that it works
// on this Node, and where it does not, all sockets fall back to plain `data` events.

import net from 'node:net'
import type { Clock } from '../core/clock.ts'
import { nodeUtil } from '../core/late.ts'
import { rawOf } from './raw-socket.ts'

/** Called with the socket as `this`; returning false pauses it. */
export type ReadCallback = (this: net.Socket, length: number, bytes: Buffer) => boolean

export interface OnRead {
  buffer: Buffer
  callback: (length: number, bytes: Buffer) => boolean
}

/** The parts of undocumented libuv handles that this file uses. */
interface Handle {
  readonly bytesWritten?: number
  readonly writeQueueSize?: number
  /** Not zero: an error of libuv. */
  getpeername?: (into: object) => number
}
interface ServerHandle {
  /** Called for each accepted connection; `status` is negative for an error. */
  onconnection: (status: number, handle: Handle) => void
}
interface SocketOptions {
  handle: Handle
  manualStart: boolean
  allowHalfOpen: boolean
  onread: OnRead
}

/**
 * For a dialled socket: our own queue bounds its writes, and Node's mark would only cost an event for every
 * large write.
 */
export const WRITABLE_MARK = 2 ** 30

/** The time for a round trip on this machine; on a busy one it takes a few milliseconds. */
const ADOPTION_MS = 2000

const buffers = new Map<number, Buffer>()

/** The `onread` option for sockets that read at most `size` bytes at a time; all of them share one buffer. */
export function onRead(size: number, callback: ReadCallback): OnRead {
  let buffer = buffers.get(size)
  if (buffer === undefined) buffers.set(size, (buffer = Buffer.allocUnsafeSlow(size)))
  return { buffer, callback: callback }
}

/**
 * Makes a listening `server` hand over accepted connections as sockets that read into the shared buffer, and
 * only once they are resumed. The server counts none of them. (Accepting the documented way and taking the
 * handle out of that socket works as well, and costs a socket for each connection.)
 */
export function acceptWith(server: net.Server, onread: OnRead, onSocket: (socket: net.Socket) => void): void {
  const listening = (server as unknown as { _handle: ServerHandle })._handle
  listening.onconnection = (status, handle) => {
    if (status < 0) {
      server.emit('error', new Error(`accept: ${nodeUtil().getSystemErrorName(status)}`))
      return
    }
    // Keeps Node's own writable mark: it holds back a socket that is released to carry TLS.
    const options: SocketOptions = { handle, allowHalfOpen: true, manualStart: true, onread }
    onSocket(new net.Socket(options as unknown as net.SocketConstructorOpts))
  }
}

/**
 * Starts or resumes reading. A socket that reads into the shared buffer has no use for Node's flowing mode,
 * and saves the tick that starts it: `readableFlowing` is null until a caller pauses the socket, or listens
 * for `data`.
 */
export function startReading(socket: net.Socket): void {
  if (socket.readableFlowing === null) socket.read(0)
  else socket.resume()
}

/**
 * Bytes of the write in progress that the kernel has not taken (for TLS: ciphertext); `fallback` where the
 * handle does not show it.
 */
export function unwritten(socket: net.Socket, fallback: number): number {
  return handleOf(socket)?.writeQueueSize ?? fallback
}

/** Bytes that the kernel has taken so far (for TLS: ciphertext); null where the handle does not show it. */
export function takenByKernel(socket: net.Socket): number | null {
  const { bytesWritten, writeQueueSize } = handleOf(socket) ?? {}
  return bytesWritten === undefined || writeQueueSize === undefined ? null : bytesWritten - writeQueueSize
}

/**
 * Of a socket whose write waits: Node's TLS keeps it back, as the kernel has nothing to write. A write of
 * OpenSSL's own that fails (its tickets to a client that is gone) is forgotten by Node, and all later ones
 * wait for it; a good one is here for a turn or two. `unknown`: a unix socket, of which the kernel does not
 * tell whether it has a peer.
 */
export function strandedBy(socket: net.Socket): 'no peer' | 'nothing' | 'unknown' {
  const handle = handleOf(socket)
  if (handle?.writeQueueSize !== 0) return 'nothing'
  if (handle.getpeername === undefined) return 'unknown'
  return handle.getpeername({}) === 0 ? 'nothing' : 'no peer'
}

function handleOf(socket: net.Socket): Handle | null {
  return (rawOf(socket) as unknown as { _handle: Handle | null })._handle
}

/**
 * Whether `acceptWith` works here: sends a few bytes to such a socket; they must arrive by the callback, then
 * the end. `where` is for tests with a loopback that is down.
 */
export function checkAdoption(clock: Clock, where = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true })
    const done = (works: boolean): void => {
      cancel()
      server.close()
      client?.destroy()
      resolve(works)
    }
    // Where loopback is down, or filtered, nothing ever arrives.
    const cancel = clock.after(ADOPTION_MS, () => done(false))
    let client: net.Socket | null = null
    let seen = ''
    const callback = (length: number, bytes: Buffer): boolean => {
      seen += bytes.toString('latin1', 0, length)
      return true
    }
    server.once('error', () => done(false))
    server.once('connection', () => done(false)) // the documented way was taken: ours is not there
    server.listen(0, '127.0.0.1', () => {
      try {
        acceptWith(server, { buffer: Buffer.alloc(64), callback }, (socket) =>
          whenOver(socket, (hasEnded) => done(hasEnded && seen === 'adopted')),
        )
      } catch {
        return done(false)
      }
      client = net.connect((server.address() as net.AddressInfo).port, where, () => client?.end('adopted'))
      client.on('error', () => done(false))
      client.resume()
    })
  })
}

function whenOver(socket: net.Socket, report: (hasEnded: boolean) => void): void {
  socket.on('data', () => report(false))
  socket.on('error', () => report(false))
  socket.on('end', () => {
    socket.destroy()
    report(true)
  })
  socket.resume()
}
