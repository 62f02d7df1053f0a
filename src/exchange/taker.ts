// Whether a peer takes the bytes that wait for it, as fine as the system can tell.

import type { Socket } from 'node:net'
import { unwritten } from '../endpoint/read-buffer.ts'

export class Taker {
  readonly #socket: Socket
  /** When the peer last took bytes, or was owed none, as the last `observe` noticed. */
  takenAt: number
  /** Bytes of writes that the kernel has taken whole. */
  #done: number
  /** Bytes of the write in progress that it has not. */
  #owed: number

  constructor(socket: Socket, now: number) {
    this.#socket = socket
    this.takenAt = now
    this.#done = socket.bytesWritten - socket.writableLength
    this.#owed = unwritten(socket, socket.writableLength)
  }

  observe(now: number): void {
    const { bytesWritten, writableLength } = this.#socket
    // What Node queues behind the write in progress is in both counts: a trickle into the queue is no progress.
    const done = bytesWritten - writableLength
    const owed = unwritten(this.#socket, writableLength)
    if (writableLength === 0 || done !== this.#done || owed < this.#owed) this.takenAt = now
    this.#done = done
    this.#owed = owed
  }

  isStalled(now: number, ms: number): boolean {
    return this.#socket.writableLength > 0 && now - this.takenAt >= ms
  }
}
