// One peer of a pair that has ended: it is told, takes its last bytes, and takes leave.
//
//     begin --flush---> [ last bytes ] --> FIN --> its FIN             each of these for as long as it makes progress, and no longer
//           --deliver-> [ last bytes ] --> RST                         than `closeMs` without (`writeMs`, for what a peer that left has
//           --awaited-> [ last bytes, a last word ] --> its answer     left behind)
//           --drop, reset: at once
//
// Stops a peer that takes nothing. Does not kill one that takes little: the kernel is asked, as `deadlines.write` does, and each byte that is
// found taken begins the wait anew; so does the last one, and the answer has all of `closeMs` from there. A peer that trickles is for `limits.minRate` to end.

import type { Manner } from '../core/close.ts'
import type { Half } from './half.ts'
import { Motion } from './progress.ts'

/** A peer that has not answered a goodbye for so long gets FIN as well: there are services that know no other end. */
const ANSWER_MS = 1000

/** The wrapping of a last word (a record of TLS, its close_notify): nobody's data. */
const WRAPPING_BYTES = 64

/** Of a FIN, as the kernels of both hosts count it for a moment. */
const FIN_BYTES = 2

export interface Patience {
  /** Milliseconds without progress: for what is owed, for the rest of a leave. */
  owedMs: number
  closeMs: number
}

export class Leave {
  readonly half: Half
  readonly #motion: Motion
  #manner: Manner | null = null
  #isGivenUp = false
  #hasEnded = false

  /** From the peer that `half` sends to. */
  constructor(half: Half, now: number) {
    this.half = half
    this.#motion = new Motion(half, false, now)
  }

  /** Parts from it: `isAwaited`, once it has answered. */
  begin(manner: Manner, isAwaited: boolean, now: number): void {
    this.#manner = manner
    this.#motion.restart(now)
    const { sink } = this.half
    if (manner === 'flush' && isAwaited) return sink.resume()
    this.#hasEnded = true
    this.#isGivenUp = manner === 'drop' || manner === 'reset'
    sink.close(manner)
  }

  /** It was let go with bytes that it had not taken by ourselves, so its end tells nothing new. */
  get isGivenUp(): boolean {
    return this.#isGivenUp
  }

  /** When it last took something; see `ConnectionOwner.lastDrainAt`. */
  lastDrainAt(now: number): number {
    return this.#motion.surelyMovedAt(now)
  }

  /** When patience is over, if nothing moves any more. */
  dueAt(patience: Patience): number {
    return this.half.sink.isClosed || this.#isGivenUp
      ? Number.POSITIVE_INFINITY
      : this.#motion.movedAt + this.#ms(patience)
  }

  #ms({ owedMs, closeMs }: Patience): number {
    return this.half.sink.unacked > 0 ? owedMs : closeMs
  }

  /** So little is not taken, as far as was looked, that it may be our FIN: nothing is owed then, and nothing else would look again soon. */
  get #isPerhapsFin(): boolean {
    const { queued, unacked } = this.half.sink
    return queued === 0 && unacked > 0 && unacked <= FIN_BYTES
  }

  /** Looks whether it moves; true once its time is over. */
  sweep(patience: Patience, now: number): boolean {
    const { sink } = this.half
    if (this.#manner === null || sink.isClosed) return false
    // A second call closes it even where RST is not possible at once.
    if (this.#isGivenUp) {
      sink.close('reset')
      return false
    }
    if (this.#manner === 'deliver' || this.#isPerhapsFin) sink.measure()
    if (this.#motion.isOver(this.#ms(patience), now)) return true
    if (!this.#hasEnded && now - this.#motion.movedAt >= Math.min(ANSWER_MS, patience.closeMs / 2)) this.end()
    return false
  }

  /** FIN after the queued bytes. */
  end(): void {
    this.#hasEnded = true
    this.half.sink.end()
  }

  /** RST, which frees the kernel's queue too. Returns how many bytes are dropped by it; `lastWord` is what of them was but our goodbye. */
  giveUp(lastWord: number): number {
    const { sink } = this.half
    if (sink.isClosed || this.#isGivenUp) return 0
    const { queued, unacked } = sink
    this.#isGivenUp = true
    sink.close('reset')
    return queued === 0 && unacked <= lastWord + WRAPPING_BYTES ? 0 : unacked
  }
}
