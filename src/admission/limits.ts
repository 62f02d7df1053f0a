// The gate of numbers: how many connections may be open. Each costs two descriptors and its buffers; over the limit the
// kernel would refuse silently (libuv accepts and closes), so we refuse first, and say so.

/** Counts open connections against a maximum, and against that of a parent (the whole process). */
export class ConnectionLimit {
  /** May be changed at any time; those over a lower one stay. */
  max: number
  readonly #parent: ConnectionLimit | null
  #open = 0

  constructor(max: number, parent: ConnectionLimit | null = null) {
    this.max = max
    this.#parent = parent
  }

  get open(): number {
    return this.#open
  }

  /** Takes a place; false if there is none. Every place that was taken is released once. */
  take(): boolean {
    if (this.#open >= this.max || this.#parent?.take() === false) return false
    this.#open++
    return true
  }

  release(): void {
    this.#open--
    this.#parent?.release()
  }
}
