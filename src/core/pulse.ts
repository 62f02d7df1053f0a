// The pulse of one thread of the path, readable by the others without a message: a few words of shared
// memory, each written by one side only.
//
//     beats     counted up by the thread as long as its event loop turns
//     open      its open connections, with those that wait in admission
//     lastId    the last id that it gave to a connection, so that its successor gives no id twice
//     said      bytes of log lines that it has sent; `heard`: those that have arrived; the difference is under way

const BEATS = 0
const OPEN = 1
/** 64-bit words: these values only grow. */
const LAST_ID = 0
const SAID = 1
const HEARD = 2
const WORDS_AT = 24
const BYTES = 32

export class Pulse {
  readonly memory: SharedArrayBuffer
  readonly #words: Int32Array
  readonly #totals: Float64Array

  /** A Pulse over the `memory` of another shows the same values. */
  constructor(memory = new SharedArrayBuffer(BYTES)) {
    this.memory = memory
    this.#words = new Int32Array(memory, WORDS_AT)
    this.#totals = new Float64Array(memory, 0, 3)
  }

  beat(): void {
    Atomics.add(this.#words, BEATS, 1)
  }

  get beats(): number {
    return Atomics.load(this.#words, BEATS)
  }

  get open(): number {
    return Atomics.load(this.#words, OPEN)
  }

  set open(connections: number) {
    Atomics.store(this.#words, OPEN, connections)
  }

  get lastId(): number {
    return this.#totals[LAST_ID]!
  }

  set lastId(id: number) {
    this.#totals[LAST_ID] = id
  }

  /** Bytes of log lines on their way. */
  get unheard(): number {
    return this.#totals[SAID]! - this.#totals[HEARD]!
  }

  say(bytes: number): void {
    this.#totals[SAID]! += bytes
  }

  hear(bytes: number): void {
    this.#totals[HEARD]! += bytes
  }
}
