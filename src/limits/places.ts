// The gate of numbers: how many connections may be open. Each costs two descriptors and its buffers; over the
// limit the kernel would refuse silently (libuv accepts and closes), so we refuse first, with an answer.
//
// Where the limit only observes, those over it are served and hold no place: the next ones are judged as if
// they had been refused.

import { localCells } from './cells.ts'
import type { Count } from '../core/cells.ts'
import type { Admission } from '../core/connection.ts'

export interface FullRules {
  isEnforced?: boolean
  onFull?: (isEnforced: boolean) => void
  /** The count to use; absent: one of this gate alone. */
  count?: Count
}

/** Counts open connections against a maximum, and against the maximum of a parent (the whole process). */
export class ConnectionLimit {
  /** May change at any time; connections over a lowered maximum stay. */
  max: number
  #isEnforced: boolean
  /** Let on over the maximum, here; without a place. */
  #over = 0
  readonly #parent: ConnectionLimit | null
  readonly #onFull: FullRules['onFull']
  readonly #count: Count

  constructor(
    max: number,
    parent: ConnectionLimit | null = null,
    { isEnforced = true, onFull, count = localCells.count('') }: FullRules = {},
  ) {
    this.max = max
    this.#isEnforced = isEnforced
    this.#parent = parent
    this.#onFull = onFull
    this.#count = count
  }

  get open(): number {
    return this.#count.held
  }

  /** False: connections over the maximum are only counted. The parent's maximum holds in any case. */
  set isEnforced(isEnforced: boolean) {
    this.#isEnforced = isEnforced
    // It counts all that are open.
    if (isEnforced) while (this.#over > 0 && this.#count.take(Number.POSITIVE_INFINITY)) this.#over--
  }

  /** Lets a connection on, which is released once, as such; null if it is refused. */
  take(): Admission | null {
    const isPlaced = this.#count.take(this.max)
    if (!isPlaced) this.#onFull?.(this.#isEnforced)
    if (!isPlaced && this.#isEnforced) return null
    if (!isPlaced) this.#over++
    const admission = isPlaced ? 'placed' : 'observed'
    if (this.#parent === null || this.#parent.take() !== null) return admission
    this.#leave(admission)
    return null
  }

  release(admission: Admission): void {
    this.#leave(admission)
    this.#parent?.release('placed')
  }

  #leave(admission: Admission): void {
    if (admission === 'observed' && this.#over > 0) this.#over--
    else this.#count.release()
  }
}
