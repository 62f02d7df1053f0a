// The kernel's view of one socket: how many of the bytes that it took from us the peer has not taken.
//
//     taken by the kernel   ..........................|   a number that Node keeps
//     taken by the peer     ............|                 known by the last look; later bytes are not, before the next
//
// Its callers differ. `measure` serves a wait whose bytes count (`Endpoint.unacked`). `look` serves a pinger
// that wants to know whether a peer is there, and changes no wait: a client on this machine that computes for
// a minute has a ping of ours unread, and owes nothing. `look` also tells of the FIN of a peer that is not
// read.

import type { Socket } from 'node:net'
import { kernelQueue } from './kernel-queue.ts'
import { takenByKernel } from './read-buffer.ts'
import { rawOf } from './raw-socket.ts'

export class KernelView {
  readonly #socket: Socket
  /** The number of answers to `measure`; Infinity: the system has none. */
  measurements = 0
  /** How many of its bytes the peer has taken at the least; null while no look shows that any wait for it. */
  #taken: number | null = null
  /** Bytes that the kernel had taken when the last look began, and at the last count. */
  #before = 0
  #after = 0
  /**
   * Results of either: bytes that the peer's host has not acknowledged, bytes unread there (on this machine
   * only), and the number of answers.
   */
  unacknowledged = 0
  unread = 0
  looks = 0
  /** The peer has sent FIN, perhaps behind bytes that we do not read. */
  hasEnded = false
  #isMeasuring = false
  readonly #onBegin = (): void => void (this.#before = this.#inAll)
  readonly #onReport = (bytes: number, unread: number, hasEnded: boolean): void => {
    this.hasEnded = hasEnded
    this.#see(bytes, unread)
  }

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Bytes that the peer has not taken. It falls with those that the peer takes, and with nothing else. */
  get bytes(): number {
    return this.#taken === null ? 0 : Math.max(0, this.#inAll - this.#taken)
  }

  get #inAll(): number {
    return (this.#after = takenByKernel(this.#socket) ?? this.#after)
  }

  /** The kernel had no room and has some again: the peer takes bytes, and how many is not known. */
  forget(): void {
    this.#taken = null
  }

  measure(): void {
    this.#isMeasuring = true
    this.look()
  }

  look(): void {
    if (!kernelQueue.measure(rawOf(this.#socket), this.#onReport, this.#onBegin))
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
    const left = Math.max(0, this.#socket.writableFinished ? bytes - 1 : bytes)
    const taken = this.#before - left
    // Bytes written during the look may be among those left: then it shows no less than the truth, and no
    // fall.
    const isExact = this.#inAll === this.#before
    if (left === 0) this.#taken = null
    else if (isExact || this.#taken === null || taken > this.#taken) this.#taken = taken
  }
}
