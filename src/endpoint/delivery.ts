// Delivery: RST after the last bytes. An RST discards what the sender's kernel still holds (and, on some
// systems, what the receiver has not read), so we wait until the peer has taken everything, as far as the
// kernel shows.
//
//     bytes wait here           `KernelView` goes on to count, as before: a slow reader is seen to read
//     the kernel has them all   an answer to a question asked from now on counts the last write, too

import type { Socket } from 'node:net'
import { kernelQueue } from './kernel-queue.ts'
import type { KernelView } from './kernel-view.ts'
import { rawOf } from './raw-socket.ts'
import { resetSocket } from './reset.ts'

export class Delivery {
  readonly #socket: Socket
  readonly #kernel: KernelView
  /** Null before the first answer that counts the last write. */
  #bytes: number | null = null
  #answers = 0
  /** A callback of its own: an answer to an earlier question may not count the last write. */
  readonly #onLooked = (bytes: number): void => this.#see(bytes)

  /** Nothing more is written to `socket`; `kernel` is its view. */
  constructor(socket: Socket, kernel: KernelView) {
    this.#socket = socket
    this.#kernel = kernel
  }

  /** As in `KernelView`: the bytes not taken, and the number of answers, those before the end included. */
  get bytes(): number {
    return this.#bytes ?? this.#kernel.bytes
  }

  get measurements(): number {
    return this.#kernel.measurements + this.#answers
  }

  /**
   * Looks once, and resets if nothing is left. The owner calls it again now and then; where the system shows
   * nothing, it resets at once.
   */
  look(): void {
    const socket = this.#socket
    if (socket.writableLength > 0) return this.#kernel.measure()
    if (socket.bytesWritten === 0 || !kernelQueue.measure(rawOf(socket), this.#onLooked)) resetSocket(socket)
  }

  #see(bytes: number): void {
    this.#answers++
    // The kernel counts a FIN as a byte.
    this.#bytes = Math.max(0, this.#socket.writableFinished ? bytes - 1 : bytes)
    if (this.#bytes === 0 && this.#socket.writableLength === 0) resetSocket(this.#socket)
  }
}
