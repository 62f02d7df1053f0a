// Early bytes: those that a client sends before it has a pair. They wait in memory, so they are bounded, for
// each client (opening.ts) and for all clients together, and counted: as received, and as waiting for the
// upstream.
//
// Stops: thousands of clients that each send a first 64 KiB before an upstream that swallows SYNs. Does not
// harm: a request that comes with its FIN, or ahead of a slow dial; the bytes of a client that is not read
// wait in its socket until the pair is made. One turn reads many sockets, so an opening reserves room before
// it reads. Bytes that came in one read with a head are there already: an opening keeps them where there is
// room.

import type { Flow } from '../core/connection.ts'
import type { EarlyBudget } from '../core/strain.ts'
import { EarlyShare } from '../core/early-share.ts'
import { KeptBytes } from '../endpoint/kept-bytes.ts'
import { NOTHING } from '../core/nothing.ts'

export class EarlyBytes {
  readonly #flow: Flow
  readonly #budget: EarlyBudget
  /** The bytes reserved or, if they are more, those kept. */
  readonly #share: EarlyShare
  #kept: KeptBytes | null = null
  /** When the first kept byte came. */
  since = 0

  /** `flow` is the direction to the upstream. */
  constructor(flow: Flow, budget: EarlyBudget) {
    this.#flow = flow
    this.#budget = budget
    this.#share = new EarlyShare(budget)
  }

  get length(): number {
    return this.#kept === null ? 0 : this.#kept.length
  }

  /** All openings together hold as much as they may. */
  get isOverBudget(): boolean {
    return this.#budget.heldBytes >= this.#budget.limitBytes
  }

  /** Reserves room for a read of `bytes` bytes; returns false if there is none. */
  reserve(bytes: number): boolean {
    return this.#share.reserve(bytes)
  }

  /** A head of so many bytes waits for its end, or for its upstream; false if there is no room for it. */
  weighHead(bytes: number): boolean {
    return this.#share.weighHead(bytes)
  }

  /** False if there is no room for them. */
  keep(bytes: Buffer, start: number, end: number, now: number): boolean {
    if (start >= end) return true
    this.#flow.received += end - start
    const length = Math.max(this.#share.bytes, this.length + end - start)
    if (!this.#share.hasRoom(length)) return false
    this.#share.settle(length)
    if (this.length === 0) this.since = now
    ;(this.#kept ??= new KeptBytes()).append(bytes, start, end)
    return true
  }

  /** Drops the bytes, which will not be relayed. */
  forget(): void {
    this.#share.settle(0)
    this.#share.weighHead(0)
    this.#kept = null
  }

  /** For the pair, which counts the bytes as received again. */
  takeAll(): Buffer {
    const { length } = this
    const bytes = this.#kept?.takeAll() ?? NOTHING
    this.#share.settle(0)
    this.#share.weighHead(0)
    this.#flow.received -= length
    this.#kept = null
    return bytes
  }
}
