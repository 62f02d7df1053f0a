// The memory that streams which begin are about to take. A client with twenty connections may begin two
// thousand in a moment, and the looks at the memory (overload.ts) see each only after its bytes have come. So
// a stream claims its memory before it is served, and is refused where the claims of all threads exceed the
// room that the last look has found.
//
//     streams of this thread    ......................|######|
//                                in use at one time   claimed
//                                 of the last two seconds
//
// What was in use half a second ago is in the looks, and stays in the process for a while after its streams
// have ended: as many streams can begin again without a claim. So requests that come and go claim next to
// nothing; only growth does.

import { LocalSum } from './cells.ts'
import type { Sum } from './cells.ts'
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'

/**
 * A stream that stands still on both sides takes 75 to 80 KB (bench/README.md), of which the first look sees
 * a part.
 */
export const STREAM_BYTES = 65_536
const WINDOW_MS = 250
/** Windows that are claimed for, the present one included. */
const CLAIMED = 2
/** And those before them, of which the most streams count as in use. */
const IN_USE = 8

export class Claims {
  /** For all claims together, over all threads. */
  roomBytes = Number.POSITIVE_INFINITY
  readonly #sum: Sum
  readonly #clock: Pick<Clock, 'now'>
  #streams = 0
  /** The most streams at a time, in each window, the present one first. */
  readonly #peaks: number[] = Array<number>(CLAIMED + IN_USE).fill(0)
  /** The number of the present window, from the beginning of the clock. */
  #window = 0
  /** The most of the windows that are not claimed for. */
  #inUse = 0
  #claimed = 0

  /** `sum`: over all threads; by default over this one alone. */
  constructor(sum: Sum = new LocalSum(), clock: Pick<Clock, 'now'> = systemClock) {
    this.#sum = sum
    this.#clock = clock
  }

  /** Of all threads. */
  get bytes(): number {
    return this.#sum.total
  }

  /** For one stream more. */
  get hasRoom(): boolean {
    this.settle()
    return this.#sum.total + STREAM_BYTES <= this.roomBytes
  }

  /** So many streams more, or, below zero, fewer. */
  add(streams: number): void {
    this.#turn()
    this.#streams += streams
    this.#peaks[0] = Math.max(this.#peaks[0]!, this.#streams)
    this.#claim()
  }

  /** Time has passed. */
  settle(): void {
    this.#turn()
    this.#claim()
  }

  /** To the present window; the streams went on into each from the one before. */
  #turn(): void {
    const window = Math.floor(this.#clock.now() / WINDOW_MS)
    if (window === this.#window) return
    for (let passed = Math.min(window - this.#window, this.#peaks.length); passed > 0; passed--) {
      this.#peaks.pop()
      this.#peaks.unshift(this.#streams)
    }
    this.#window = window
    this.#inUse = Math.max(...this.#peaks.slice(CLAIMED))
  }

  #claim(): void {
    const claimed = Math.max(0, this.#streams - this.#inUse) * STREAM_BYTES
    if (claimed !== this.#claimed) this.#sum.add(claimed - this.#claimed)
    this.#claimed = claimed
  }
}
