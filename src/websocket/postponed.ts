// A postponed end: it can wait until the begun frames end, and comes inside a frame that does not move on.

import type { Close } from '../core/close.ts'
import type { Half } from '../pair/half.ts'
import { Motion } from '../pair/progress.ts'

export class Postponed {
  readonly close: Close
  readonly #toUpstream: Motion
  readonly #toClient: Motion

  constructor(close: Close, toUpstream: Half, toClient: Half, now: number) {
    this.close = close
    this.#toUpstream = new Motion(toUpstream, true, now)
    this.#toClient = new Motion(toClient, true, now)
  }

  /** Called in each sweep, with the directions that are in a frame. */
  isOverdue(isInFrame: { toUpstream: boolean; toClient: boolean }, closeMs: number, now: number): boolean {
    const isStill = isInFrame.toUpstream && this.#toUpstream.isOver(closeMs, now)
    return (isInFrame.toClient && this.#toClient.isOver(closeMs, now)) || isStill
  }
}
