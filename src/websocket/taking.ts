// How far one side has come in the bytes sent to it, by the kernel's answers: never further than it has.
//
//     sent     ................................|             all bytes given to its endpoint
//     reached  ....................|                         acknowledged by its host: the host is there
//     taken    ...........|                                  read by its process, where that is known (peers here)
//
// An answer of the kernel may be older than the question. So we note how much was sent, and two answers later
// we subtract the bytes not taken from that note: bytes sent since then can only make the result smaller.

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
    this.isKnown = Number.isFinite(looks)
    this.#looks ??= looks
    if (this.isKnown && looks < this.#looks + 2) return false
    const { queued } = sink
    // Queued bytes may have been dropped since (websocket.slowConsumer), and no longer count as sent.
    this.reached = Math.min(this.#sent, sent) - queued - unacknowledged
    this.taken = this.reached - unread
    this.hasReachedAll = queued + unacknowledged === 0
    this.hasTakenAll = this.hasReachedAll && unread === 0
    this.#sent = sent
    this.#looks = looks
    return true
  }
}
