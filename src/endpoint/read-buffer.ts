// Reading without allocating: every socket reads into one shared buffer, and whoever is called copies what it keeps.
// It halves the cost of large chunks and the memory of an idle pair (figures in bench/README.md).
//
// `onread` is documented for sockets that we open (net.connect). For an accepted one it takes the socket's handle,
// which is not: this is the only file that touches it, `checkAdoption` proves at start that it works on this Node, and
// everything falls back to plain `data` events where it does not.

import net from 'node:net'

/** Called with the socket as `this`; false pauses. */
export type ReadCallback = (this: net.Socket, length: number, bytes: Buffer) => boolean

export interface OnRead {
  buffer: Buffer
  callback: (length: number, bytes: Buffer) => boolean
}

/** The part of an undocumented libuv handle that is used here. */
interface Handle {
  readonly writeQueueSize?: number
}
interface HandleSocket {
  _handle: Handle | null
}
interface AdoptingOptions {
  handle: Handle
  manualStart: boolean
  allowHalfOpen: boolean
  onread: OnRead
}

const buffers = new Map<number, Buffer>()

/** The `onread` option for sockets that read at most `size` bytes at a time; all of them share one buffer. */
export function onRead(size: number, callback: ReadCallback): OnRead {
  let buffer = buffers.get(size)
  if (buffer === undefined) buffers.set(size, (buffer = Buffer.allocUnsafeSlow(size)))
  return { buffer, callback: callback }
}

/**
 * Makes a socket that reads into the shared buffer out of one that a server has just accepted with `pauseOnConnect`.
 * The accepted one is an empty shell afterwards. The new socket does not read until it is resumed.
 */
export function adopt(accepted: net.Socket, onread: OnRead): net.Socket {
  const shell = accepted as unknown as HandleSocket
  const handle = shell._handle
  if (handle === null) return accepted
  shell._handle = null
  accepted.destroy() // the server counts it as gone; the descriptor lives on in the handle
  const options: AdoptingOptions = { handle, allowHalfOpen: true, manualStart: true, onread }
  return new net.Socket(options as unknown as net.SocketConstructorOpts)
}

/** Bytes of the write in progress that the kernel has not taken; `fallback` where the handle does not tell. */
export function unwritten(socket: net.Socket, fallback: number): number {
  return (socket as unknown as HandleSocket)._handle?.writeQueueSize ?? fallback
}

/** Whether `adopt` works here: a few bytes are sent to an adopted socket and must come by the callback, then the end. */
export function checkAdoption(): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer({ pauseOnConnect: true, allowHalfOpen: true })
    const done = (works: boolean): void => {
      server.close()
      resolve(works)
    }
    server.once('error', () => done(false))
    server.once('connection', (accepted) => void tryAdoption(accepted).then(done, () => done(false)))
    server.listen(0, '127.0.0.1', () => {
      const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1', () => client.end('adopted'))
      client.on('error', () => {})
      client.resume()
    })
  })
}

async function tryAdoption(accepted: net.Socket): Promise<boolean> {
  let seen = ''
  const socket = adopt(accepted, {
    buffer: Buffer.alloc(64),
    callback(length, bytes) {
      seen += bytes.toString('latin1', 0, length)
      return true
    },
  })
  return await new Promise((resolve) => {
    socket.on('data', () => resolve(false))
    socket.on('error', () => resolve(false))
    socket.on('end', () => {
      socket.destroy()
      resolve(seen === 'adopted')
    })
    socket.resume()
  })
}
