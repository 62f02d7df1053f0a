// How far one side has come in the bytes sent to it, by the kernel's answers: never further than it has.
//
//     sent     ................................|             all bytes given to its endpoint
//     reached  ....................|                         acknowledged by its host: the host is there
//     taken    ...........|                                  read by its process, where that is known (peers here)
//
// An answer of the kernel may be older than the question. So we note how much the kernel has got, and two
// answers later we subtract the bytes not taken from that note: bytes that it gets later, of our queue or new
// ones, can only make the result smaller.

import type { Endpoint } from '../endpoint/endpoint.ts'

export type Taker = Pick<Endpoint, 'look' | 'queued'>

export class Drainable {
  /** Positions in the sent bytes. */
  reached = 0
  taken = 0
  /** All sent bytes have reached its host; its process has taken them all. */
  hasReachedAll = false
  hasTakenAll = false
  /**
   * The system shows what was taken; where it does not, the bytes that it took for a side count as taken, and
   * show no progress.
   */
  isKnown = true
  #sent: number
  /** Of those, in the kernel for certain, and how many answers there were then. */
  #given = 0
  #looks: number | null = null

  constructor(sent: number) {
    this.#sent = sent
  }

  /** Starts the comparison anew from here. */
  note(sent: number): void {
    this.#sent = sent
    this.#looks = null
  }

  /** Asks once more; returns true once there is an answer to a question asked after the last one. */
  look(sink: Taker, sent: number): boolean {
    const { unacknowledged, unread, looks } = sink.look()
    const { queued } = sink
    this.isKnown = Number.isFinite(looks)
    if (this.#looks === null || !this.isKnown) this.#note(sent, queued, looks)
    if (this.isKnown && looks < this.#looks! + 2) return false
    this.reached = this.#given - unacknowledged
    this.taken = this.reached - unread
    this.hasReachedAll = queued + unacknowledged === 0
    this.hasTakenAll = this.hasReachedAll && unread === 0
    this.#sent = sent
    this.#note(sent, queued, looks)
    return true
  }

  #note(sent: number, queued: number, looks: number): void {
    // Queued bytes may have been dropped since (websocket.slowConsumer), and no longer count as sent.
    this.#given = Math.min(this.#sent, sent) - queued
    this.#looks = looks
  }
}
