// The kernel's last word on one socket: how much of the bytes that it took from us its peer has not.
//
// Two ask, for two ends. `measure` is for a wait whose bytes count (`Endpoint.unacked`). `look` is for a caller that wants to know whether a peer
// is there, and changes no wait: a client of this machine that computes for a minute has a ping of ours unread, and owes nothing.

import type { Socket } from 'node:net'
import { kernelQueue } from './kernel-queue.ts'
import { rawOf } from './raw-socket.ts'

export class KernelView {
  readonly #socket: Socket
  /** Of `measure`: what was not taken, and how many answers have come; Infinity where the system does not tell. */
  bytes = 0
  measurements = 0
  /** Of either: what the host of the peer has not acknowledged, what lies unread there (of this machine only), and how many answers have come. */
  unacknowledged = 0
  unread = 0
  looks = 0
  #isMeasuring = false
  readonly #onReport = (bytes: number, unread: number): void => this.#see(bytes, unread)

  constructor(socket: Socket) {
    this.#socket = socket
  }

  measure(): void {
    this.#isMeasuring = true
    this.look()
  }

  look(): void {
    if (!kernelQueue.measure(rawOf(this.#socket), this.#onReport))
      this.measurements = this.looks = Number.POSITIVE_INFINITY
  }

  #see(bytes: number, unread: number): void {
    this.looks++
    this.unread = unread
    // The kernel counts a FIN as a byte.
    this.unacknowledged = Math.max(0, bytes - unread - (this.#socket.writableFinished ? 1 : 0))
    if (!this.#isMeasuring) return
    this.#isMeasuring = false
    this.measurements++
    this.bytes = Math.max(0, this.#socket.writableFinished ? bytes - 1 : bytes)
  }
}
