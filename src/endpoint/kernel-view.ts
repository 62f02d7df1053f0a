// The kernel's view of one socket: how many of the bytes that it took from us the peer has not taken.
//
// Two callers use it. `measure` serves a wait whose bytes count (`Endpoint.unacked`). `look` serves a pinger
// that wants to know whether a peer is there, and changes no wait: a client on this machine that computes for
// a minute has a ping of ours unread, and owes nothing.

import type { Socket } from 'node:net'
import { kernelQueue } from './kernel-queue.ts'
import { rawOf } from './raw-socket.ts'

export class KernelView {
  readonly #socket: Socket
  /** Results of `measure`: the bytes not taken, and the number of answers (Infinity: the system has none). */
  bytes = 0
  measurements = 0
  /**
   * Results of either: bytes that the peer's host has not acknowledged, bytes unread there (on this machine
   * only), and the number of answers.
   */
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
