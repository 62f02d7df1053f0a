// The gate of numbers: how many connections may be open. Each costs two descriptors and its buffers; over the
// limit the kernel would refuse silently (libuv accepts and closes), so we refuse first, with an answer.

import { localCells } from './cells.ts'
import type { Count } from '../core/cells.ts'

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
  /** False: connections over the maximum are only counted. The parent's maximum holds in any case. */
  isEnforced: boolean
  readonly #parent: ConnectionLimit | null
  readonly #onFull: FullRules['onFull']
  readonly #count: Count

  constructor(
    max: number,
    parent: ConnectionLimit | null = null,
    { isEnforced = true, onFull, count = localCells.count('') }: FullRules = {},
  ) {
    this.max = max
    this.isEnforced = isEnforced
    this.#parent = parent
    this.#onFull = onFull
    this.#count = count
  }

  get open(): number {
    return this.#count.held
  }

  /** Takes a place; returns false if there is none. Each taken place is released once. */
  take(): boolean {
    if (!this.#count.take(this.max) && this.#isFull()) return false
    if (this.#parent?.take() !== false) return true
    this.#count.release()
    return false
  }

  #isFull(): boolean {
    this.#onFull?.(this.isEnforced)
    return this.isEnforced || !this.#count.take(Number.POSITIVE_INFINITY)
  }

  release(): void {
    this.#count.release()
    this.#parent?.release()
  }
}
