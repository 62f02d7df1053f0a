// The parting from one peer of a pair that has ended: the peer gets our goodbye, takes its last bytes, and
// ends.
//
//     begin --flush---> [ last bytes ] --> FIN --> its FIN
//           --deliver-> [ last bytes ] --> RST
//           --awaited-> [ last bytes, a last word ] --> its answer
//           --drop, reset: at once
//
// Each step lasts as long as it makes progress, and no longer than `closeMs` without (`writeMs` for bytes
// that a peer left behind, or said before its last word).
//
// Stops a peer that takes nothing. Does not kill one that takes little: we ask the kernel, as
// `deadlines.write` does, and each byte found taken restarts the wait; so does the last one, and the answer
// has all of `closeMs` from there. `limits.minRate` is there to end a peer that trickles.

import type { Manner } from '../core/close.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Half } from './half.ts'
import { Motion } from './progress.ts'

/** A peer that does not answer our goodbye for so long gets FIN as well: some services know no other end. */
const ANSWER_MS = 1000

/** The most that may wrap a last word without being anybody's data: a TLS record, its close_notify. */
const WRAPPING_BYTES = 64

/** The size of a FIN, as the kernels of both hosts count it for a moment. */
const FIN_BYTES = 2

/** More than a goodbye of `lastWord` bytes is not taken, as of the last look. */
export function owesMore({ unacked }: Endpoint, lastWord: number): boolean {
  return unacked > (lastWord === 0 ? 0 : lastWord + WRAPPING_BYTES)
}

export interface Patience {
  /** Milliseconds without progress: for owed bytes, and for the rest of the parting. */
  owedMs: number
  closeMs: number
  /** The size of our goodbye, after all owed bytes; 0 where there is none. */
  lastWord: number
}

export class Leave {
  readonly half: Half
  readonly #motion: Motion
  #manner: Manner | null = null
  #isGivenUp = false
  #hasEnded = false

  /** Parts from the peer that `half` sends to. */
  constructor(half: Half, now: number) {
    this.half = half
    this.#motion = new Motion(half, false, now)
  }

  /** Begins to part; with `isAwaited`, a flush ends our half only after the peer's answer or ANSWER_MS. */
  begin(manner: Manner, isAwaited: boolean, now: number): void {
    this.#manner = manner
    this.#motion.restart(now)
    const { sink } = this.half
    if (manner === 'flush' && isAwaited) return sink.resume()
    this.#hasEnded = true
    this.#isGivenUp = manner === 'drop' || manner === 'reset'
    sink.close(manner)
  }

  /**
   * The peer sends on to nobody: RST is due after the bytes that we owe it, as its own kernel would get it.
   */
  hasten(now: number): void {
    if (this.#manner === 'flush') this.begin('deliver', false, now)
  }

  /** We let it go with bytes that it had not taken, so its end tells nothing new. */
  get isGivenUp(): boolean {
    return this.#isGivenUp
  }

  /** When the peer last took something; see `ConnectionOwner.lastDrainAt`. */
  lastDrainAt(now: number): number {
    return this.#motion.surelyMovedAt(now)
  }

  /** The peer still sends what it owes: that is progress, too. */
  keepUp(now: number): void {
    this.#motion.restart(now)
  }

  /** While memory runs short it has to be known in time whether the peer takes something. */
  lookCloser(): void {
    const { sink } = this.half
    if (sink.queued > 0) sink.measure()
  }

  /** When patience ends if nothing moves any more. */
  dueAt(patience: Patience): number {
    return this.half.sink.isClosed || this.#isGivenUp
      ? Number.POSITIVE_INFINITY
      : this.#motion.movedAt + this.#ms(patience)
  }

  #ms({ owedMs, closeMs, lastWord }: Patience): number {
    return owesMore(this.half.sink, lastWord) ? owedMs : closeMs
  }

  /**
   * So few bytes are not taken, as of the last look, that they may be our FIN: then nothing is owed, and
   * nothing else would look again soon.
   */
  get #isPerhapsFin(): boolean {
    const { queued, unacked } = this.half.sink
    return queued === 0 && unacked > 0 && unacked <= FIN_BYTES
  }

  /** Looks for progress; returns true once the time is over. */
  sweep(patience: Patience, now: number): boolean {
    const { sink } = this.half
    if (this.#manner === null || sink.isClosed) return false
    // A second call closes the socket even where RST is not possible at once.
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

  /**
   * RST, which frees the kernel's queue too. Returns how many bytes it drops; 0 where they were no more than
   * our goodbye of `lastWord` bytes.
   */
  giveUp(lastWord: number): number {
    const { sink } = this.half
    if (sink.isClosed || this.#isGivenUp) return 0
    const { queued, unacked } = sink
    this.#isGivenUp = true
    sink.close('reset')
    return queued === 0 && unacked <= lastWord + WRAPPING_BYTES ? 0 : unacked
  }
}
