// The memory that streams which begin are about to take. A client with twenty connections may begin two thousand in a moment, and the looks
// at the memory (overload.ts) see each only after its bytes have come. So a stream claims its memory before it is served, and is refused
// where all claims together, over all connections, exceed the room that the last look has found.
//
//     streams of the connection   ......................|######|
//     the fewest since the sweep before the last         claimed
//
// Whatever stays for two sweeps is in use by then, and the next look counts it. Requests that come and go claim next to nothing: only a
// connection that grows does.

import type { Ledger } from '../core/strain.ts'

/** A stream that stands still on both sides takes 75 to 80 KB (bench/README.md), of which the first look sees a part. */
const STREAM_BYTES = 65_536

export class StreamClaims {
  readonly #ledger: Ledger
  #streams = 0
  /** Since the last sweep, and between that and the one before. */
  #fewest = 0
  #fewestBefore = 0
  #claimed = 0

  constructor(ledger: Ledger) {
    this.#ledger = ledger
  }

  /** For one stream more. */
  get hasRoom(): boolean {
    return this.#ledger.heldBytes + STREAM_BYTES <= this.#ledger.limitBytes
  }

  /** The connection has so many streams now. */
  count(streams: number): void {
    this.#streams = streams
    this.#fewest = Math.min(this.#fewest, streams)
    this.#settle()
  }

  sweep(): void {
    this.#fewestBefore = this.#fewest
    this.#fewest = this.#streams
    this.#settle()
  }

  #settle(): void {
    const claimed = (this.#streams - Math.min(this.#fewest, this.#fewestBefore)) * STREAM_BYTES
    if (claimed !== this.#claimed) this.#ledger.charge(claimed - this.#claimed)
    this.#claimed = claimed
  }
}
