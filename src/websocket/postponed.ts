// An end that can wait, put off to the end of the frames that have begun: it comes inside one where that does not move on.

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

  /** To be asked in each sweep, of the directions in which a frame `isInFrame`. */
  isOverdue(isInFrame: { toUpstream: boolean; toClient: boolean }, closeMs: number, now: number): boolean {
    const isStill = isInFrame.toUpstream && this.#toUpstream.isOver(closeMs, now)
    return (isInFrame.toClient && this.#toClient.isOver(closeMs, now)) || isStill
  }
}
