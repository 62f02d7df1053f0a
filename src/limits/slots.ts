// A bounded hash table in shared memory for several threads at once: a key of 64 bits to one cell of 64 bits.
// A thread that has found its slot reads and swaps the cell without a lock; only entering a new key takes
// one.
//
//     slot   key (64)   word: generation (8) | value (56)   and, for counts, each worker's part of the value
//
// A key lies in one of the WINDOW slots that follow its hash. When another key needs a slot, it takes one
// whose value shows that nothing would be lost (`idleBelow`), with the next generation: a swap that expected
// the old generation fails, and its owner looks for its key again.
//
// A worker may end between any two steps. It leaves a trace of the steps that matter to other workers, which
// `recover` follows: the lock names its owner, and the key that it was about to replace.

export const WINDOW = 32
const VALUE_BITS = 56n
const VALUE_MASK = (1n << VALUE_BITS) - 1n
const GENERATIONS = 256n
/** As much as a double holds exactly, with a margin. */
export const MAX_VALUE = 2 ** 55

/** Int32 words at the start: the lock, the slot being replaced plus one, and both halves of its key. */
const LOCK = 0
const REPLACED = 1
const REPLACED_KEY = 2
/** Two more words are seeds of the hash, so that nobody outside can fill one window. */
const SEEDS = 4
const HEAD_WORDS = 8
/**
 * The patience with a lock whose owner the kernel has put off, or which has ended: so many tries, then so
 * many waits of a millisecond.
 */
const SPINS = 200
const WAITS = 50

export interface Key {
  readonly high: number
  readonly low: number
}

/** A slot as it was found: it belongs to that key for as long as its generation stays. */
export interface Found {
  slot: number
  generation: bigint
}

/** The bytes of `slots` slots, a multiple of 8. */
export function bytesForSlots(slots: number): number {
  return HEAD_WORDS * 4 + slots * 16
}

export class Slots {
  readonly capacity: number
  readonly #worker: number
  readonly #head: Int32Array
  readonly #keys: Int32Array
  readonly #words: BigUint64Array
  /** A slot whose value is at or below this may be replaced. */
  readonly #idleBelow: () => number

  /** `offset` in bytes, a multiple of 8. */
  constructor(
    memory: SharedArrayBuffer,
    { offset, capacity, worker }: { offset: number; capacity: number; worker: number },
    idleBelow: () => number,
  ) {
    this.capacity = capacity
    this.#worker = worker
    this.#idleBelow = idleBelow
    this.#head = new Int32Array(memory, offset, HEAD_WORDS)
    this.#keys = new Int32Array(memory, offset + HEAD_WORDS * 4, capacity * 2)
    this.#words = new BigUint64Array(memory, offset + HEAD_WORDS * 4 + capacity * 8, capacity)
  }

  /** Called once, by the maker of the memory. */
  seed(one: number, other: number): void {
    this.#head[SEEDS] = one
    this.#head[SEEDS + 1] = other
  }

  keyOf(name: string): Key {
    let high = this.#head[SEEDS]!
    let low = this.#head[SEEDS + 1]!
    for (let i = 0; i < name.length; i++) {
      const code = name.charCodeAt(i)
      high = Math.imul(high ^ code, 0x85ebca6b) ^ (low >>> 15)
      low = Math.imul(low ^ code, 0xc2b2ae35) ^ (high >>> 13)
    }
    high = Math.imul(high ^ (high >>> 16), 0x27d4eb2f) ^ low
    low = Math.imul(low ^ (low >>> 15), 0x165667b1) ^ (high >>> 16)
    // A key of all zeros marks a free slot.
    return { high: high | 0, low: low === 0 ? 1 : low | 0 }
  }

  word(slot: number): bigint {
    return Atomics.load(this.#words, slot)
  }

  /** Writes `value` if the slot still holds `word`. */
  swap(slot: number, word: bigint, value: number): boolean {
    const next = (word & ~VALUE_MASK) | BigInt(value)
    return Atomics.compareExchange(this.#words, slot, word, next) === word
  }

  /** The slot of `key`; null if it has none. */
  find(key: Key): Found | null {
    const first = this.#firstOf(key)
    for (let i = 0; i < WINDOW; i++) {
      const slot = (first + i) & (this.capacity - 1)
      if (Atomics.load(this.#keys, slot * 2 + 1) !== key.low) continue
      const generation = generationOf(this.word(slot))
      if (this.#isKey(slot, key) && generationOf(this.word(slot)) === generation) return { slot, generation }
    }
    return null
  }

  /** `found` if it is still the slot of `key`, else null. */
  check(found: Found | null, key: Key): Found | null {
    if (found === null || !this.#isKey(found.slot, key)) return null
    return generationOf(this.word(found.slot)) === found.generation ? found : null
  }

  /**
   * The slot of `key`, entered if it has none; null where no slot may be had. `mayForce`: may replace the one
   * with the least value.
   */
  claim(key: Key, mayForce: boolean): Found | null {
    const found = this.find(key)
    if (found !== null) return found
    if (!this.#lock()) return null
    try {
      return this.find(key) ?? this.#replace(key, mayForce)
    } finally {
      this.#unlock(this.#worker)
    }
  }

  /** Repairs what a worker that has ended left: the lock is free, and no key is lost. */
  recover(worker: number): void {
    if (Atomics.load(this.#head, LOCK) !== worker + 1) return
    const slot = Atomics.load(this.#head, REPLACED) - 1
    if (slot >= 0) {
      // The slot may have lost its key and be in use: the users of that key have to find it.
      this.#setKey(slot, { high: this.#head[REPLACED_KEY]!, low: this.#head[REPLACED_KEY + 1]! })
    }
    this.#unlock(worker)
  }

  #firstOf({ high, low }: Key): number {
    return (high ^ (low >>> 7)) & (this.capacity - 1)
  }

  #isKey(slot: number, { high, low }: Key): boolean {
    return Atomics.load(this.#keys, slot * 2) === high && Atomics.load(this.#keys, slot * 2 + 1) === low
  }

  #setKey(slot: number, { high, low }: Key): void {
    Atomics.store(this.#keys, slot * 2, high)
    Atomics.store(this.#keys, slot * 2 + 1, low)
  }

  #replace(key: Key, mayForce: boolean): Found | null {
    const first = this.#firstOf(key)
    const idleBelow = this.#idleBelow()
    let least: { slot: number; word: bigint } | null = null
    for (let i = 0; i < WINDOW; i++) {
      const slot = (first + i) & (this.capacity - 1)
      const word = this.word(slot)
      if (valueOf(word) <= idleBelow) {
        const found = this.#take(slot, word, key)
        if (found !== null) return found
      } else if (least === null || valueOf(word) < valueOf(least.word)) least = { slot, word }
    }
    return mayForce && least !== null ? this.#take(least.slot, least.word, key) : null
  }

  /**
   * Null if another worker used the slot meanwhile. The key goes before the generation changes, so that
   * nobody finds the new generation under the old key.
   */
  #take(slot: number, word: bigint, key: Key): Found | null {
    const old = { high: this.#keys[slot * 2]!, low: this.#keys[slot * 2 + 1]! }
    this.#head[REPLACED_KEY] = old.high
    this.#head[REPLACED_KEY + 1] = old.low
    Atomics.store(this.#head, REPLACED, slot + 1)
    this.#setKey(slot, { high: 0, low: 0 })
    const generation = (generationOf(word) + 1n) % GENERATIONS
    const isMine = Atomics.compareExchange(this.#words, slot, word, generation << VALUE_BITS) === word
    if (isMine) Atomics.store(this.#head, REPLACED, 0)
    this.#setKey(slot, isMine ? key : old)
    if (!isMine) Atomics.store(this.#head, REPLACED, 0)
    return isMine ? { slot, generation } : null
  }

  #lock(): boolean {
    for (let tries = 0; tries < SPINS + WAITS; tries++) {
      const owner = Atomics.compareExchange(this.#head, LOCK, 0, this.#worker + 1)
      if (owner === 0) return true
      if (tries >= SPINS) Atomics.wait(this.#head, LOCK, owner, 1)
    }
    return false
  }

  #unlock(worker: number): void {
    Atomics.store(this.#head, REPLACED, 0)
    Atomics.compareExchange(this.#head, LOCK, worker + 1, 0)
    Atomics.notify(this.#head, LOCK, 1)
  }
}

export function valueOf(word: bigint): number {
  return Number(word & VALUE_MASK)
}

export function generationOf(word: bigint): bigint {
  return word >> VALUE_BITS
}
