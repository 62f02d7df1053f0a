// How far one side has come in what was sent to it, by what the kernel says: never further than it has.
//
//     sent     ................................|             all that was given to its endpoint
//     reached  ....................|                         acknowledged by its host: the host is there
//     taken    ...........|                                  read by its process, as far as that is known (peers of this machine)
//
// An answer of the kernel may be older than the question. So what was sent is noted, and two answers later what was not taken is
// subtracted from that note: bytes that were sent since can only make the result smaller.

import type { Endpoint } from '../endpoint/endpoint.ts'

export type Taker = Pick<Endpoint, 'look' | 'queued'>

export class Drainable {
  /** Positions in what was sent. */
  reached = 0
  taken = 0
  /** All that was sent has reached its host; its process has taken all. */
  hasReachedAll = false
  hasTakenAll = false
  /** The system tells; where it does not, what it took for a side counts as taken, and shows no progress. */
  isKnown = true
  #sent: number
  #looks: number | null = null

  constructor(sent: number) {
    this.#sent = sent
  }

  /** Judges anew from here. */
  note(sent: number): void {
    this.#sent = sent
    this.#looks = null
  }

  /** Asks once more; true once there is an answer to something asked after the last one. */
  look(sink: Taker, sent: number): boolean {
    const { unacknowledged, unread, looks } = sink.look()
    this.isKnown = Number.isFinite(looks)
    this.#looks ??= looks
    if (this.isKnown && looks < this.#looks + 2) return false
    const { queued } = sink
    // What waits may have been dropped since (websocket.slowConsumer), and is not counted as sent any more.
    this.reached = Math.min(this.#sent, sent) - queued - unacknowledged
    this.taken = this.reached - unread
    this.hasReachedAll = queued + unacknowledged === 0
    this.hasTakenAll = this.hasReachedAll && unread === 0
    this.#sent = sent
    this.#looks = looks
    return true
  }
}
