// RST after the last bytes. An RST takes what the sender's kernel still holds with it (and, on some systems, what the receiver has
// not read), so it waits until the peer has taken all, as far as the kernel tells.

import type { Socket } from 'node:net'
import { kernelQueue } from './kernel-queue.ts'
import { rawOf } from './raw-socket.ts'
import { resetSocket } from './reset.ts'

export class Delivery {
  readonly #socket: Socket
  /** As in `KernelView`: what was not taken, and how many answers have come. */
  bytes: number
  measurements = 0
  /** Of its own: an answer to what was asked before the last write would not know of that one. */
  readonly #onLooked = (bytes: number): void => this.#see(bytes)

  /** Nothing more is written to `socket`; `bytes` is what the kernel last told. */
  constructor(socket: Socket, bytes: number) {
    this.#socket = socket
    this.bytes = bytes
  }

  /** Looks once, and resets if nothing is left. To be called again now and then; where the system does not tell, nothing is waited for. */
  look(): void {
    const socket = this.#socket
    if (socket.writableLength > 0) return
    if (socket.bytesWritten === 0 || !kernelQueue.measure(rawOf(socket), this.#onLooked)) resetSocket(socket)
  }

  #see(bytes: number): void {
    this.measurements++
    // The kernel counts a FIN as a byte.
    this.bytes = Math.max(0, this.#socket.writableFinished ? bytes - 1 : bytes)
    if (this.bytes === 0 && this.#socket.writableLength === 0) resetSocket(this.#socket)
  }
}
