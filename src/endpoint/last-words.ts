// The last bytes of a peer before a write to it failed.
//
// A service that closes with bytes of ours unread (it did not want the body, and said so) sends RST after its
// last words. A write that meets the RST fails, and Node then destroys the socket with those words unread in
// the kernel: a complete answer is lost. The kernel keeps them and gives them to the next read. So a failed
// write destroys the socket only two turns of the event loop later, and in between we read it once more.
// Anything written meanwhile is lost in any case. Node's streams take nothing more once a write has failed:
// what a socket reads as a stream (over TLS) goes past the stream to its listener.

import net from 'node:net'
import { systemClock } from '../core/clock.ts'
import { startReading } from './read-buffer.ts'

const kIsParting = Symbol('is parting')
type PartingSocket = net.Socket & { [kIsParting]?: true }

/** Makes a failed write leave `socket` time to be read. */
export function hearLastWords(socket: net.Socket): void {
  socket.destroy = destroyRead
}

function destroyRead(this: PartingSocket, error?: NodeJS.ErrnoException): net.Socket {
  // Nothing may overtake bytes that wait in the stream.
  if (error?.syscall !== 'write' || this.readableLength > 0)
    return net.Socket.prototype.destroy.call(this, error)
  // Another write that fails meanwhile changes nothing.
  if (this[kIsParting]) return this
  this[kIsParting] = true
  this.push = pushPast
  startReading(this)
  systemClock.nextTurn(() => systemClock.nextTurn(() => void net.Socket.prototype.destroy.call(this, error)))
  return this
}

function pushPast(this: net.Socket, chunk: Buffer | null): boolean {
  if (chunk !== null) this.emit('data', chunk)
  return true
}
