// The gate of numbers: how many connections may be open. Each costs two descriptors and its buffers; over the limit the
// kernel would refuse silently (libuv accepts and closes), so we refuse first, and say so.

export interface FullRules {
  isEnforced?: boolean
  onFull?: (isEnforced: boolean) => void
}

/** Counts open connections against a maximum, and against that of a parent (the whole process). */
export class ConnectionLimit {
  /** May be changed at any time; those over a lower one stay. */
  max: number
  /** False: connections over the maximum are only counted. The parent's maximum holds in any case. */
  isEnforced: boolean
  readonly #parent: ConnectionLimit | null
  readonly #onFull: FullRules['onFull']
  #open = 0

  constructor(max: number, parent: ConnectionLimit | null = null, { isEnforced = true, onFull }: FullRules = {}) {
    this.max = max
    this.isEnforced = isEnforced
    this.#parent = parent
    this.#onFull = onFull
  }

  get open(): number {
    return this.#open
  }

  /** Takes a place; false if there is none. Every place that was taken is released once. */
  take(): boolean {
    if (this.#open >= this.max && this.#isFull()) return false
    if (this.#parent?.take() === false) return false
    this.#open++
    return true
  }

  #isFull(): boolean {
    this.#onFull?.(this.isEnforced)
    return this.isEnforced
  }

  release(): void {
    this.#open--
    this.#parent?.release()
  }
}
