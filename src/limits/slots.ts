// A bounded hash table in shared memory that several threads use at once: a key of 64 bits to one cell of 64 bits. Whoever has found its
// slot reads and swaps the cell without a lock; only a key that is not there takes one, to be put in.
//
//     slot   key (64)   word: generation (8) | value (56)   and, for counts, how much of the value each worker holds
//
// A key lies in one of the WINDOW slots behind its hash. A slot whose value says that nothing would be lost (`idleBelow`) is given to
// another key when it is needed, with the next generation: a swap that expected the old one fails, and its owner looks for its key again.
//
// A worker may end between any two steps. Of those that matter to others it leaves a trace that `recover` follows: the lock says who has
// it, and which key it was about to replace.

export const WINDOW = 32
const VALUE_BITS = 56n
const VALUE_MASK = (1n << VALUE_BITS) - 1n
const GENERATIONS = 256n
/** As much as a double is sure to hold. */
export const MAX_VALUE = 2 ** 55

/** Int32 words at the start: the lock, the slot that is replaced plus one, and the two halves of its key. */
const LOCK = 0
const REPLACED = 1
const REPLACED_KEY = 2
/** Two more are seeds of the hash, so that nobody outside can fill one window. */
const SEEDS = 4
const HEAD_WORDS = 8
/** The patience with a lock whose owner was put off by the kernel, or has ended: some tries, then as many waits of a millisecond. */
const SPINS = 200
const WAITS = 50

export interface Key {
  readonly high: number
  readonly low: number
}

/** A slot as it was found: it is that key's for as long as its generation stays. */
export interface Found {
  slot: number
  generation: bigint
}

/** Bytes for so many slots, a multiple of 8. */
export function bytesForSlots(slots: number): number {
  return HEAD_WORDS * 4 + slots * 16
}

export class Slots {
  readonly capacity: number
  readonly #worker: number
  readonly #head: Int32Array
  readonly #keys: Int32Array
  readonly #words: BigUint64Array
  /** A value below or at it may be replaced. */
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

  /** Once, by whoever made the memory. */
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
    // All zeros are a slot that nobody has.
    return { high: high | 0, low: low === 0 ? 1 : low | 0 }
  }

  word(slot: number): bigint {
    return Atomics.load(this.#words, slot)
  }

  /** Puts `value` where `word` still stands. */
  swap(slot: number, word: bigint, value: number): boolean {
    const next = (word & ~VALUE_MASK) | BigInt(value)
    return Atomics.compareExchange(this.#words, slot, word, next) === word
  }

  /** The slot of a key; null where it has none. */
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

  /** `found` if it is still that key's, else null. */
  check(found: Found | null, key: Key): Found | null {
    if (found === null || !this.#isKey(found.slot, key)) return null
    return generationOf(this.word(found.slot)) === found.generation ? found : null
  }

  /** The slot of a key, which gets one if it has none; null where no slot may be had. `mayForce`: the one with the least value will do. */
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

  /** Of a worker that has ended: whatever it was about, the lock is free and no key is lost. */
  recover(worker: number): void {
    if (Atomics.load(this.#head, LOCK) !== worker + 1) return
    const slot = Atomics.load(this.#head, REPLACED) - 1
    if (slot >= 0) {
      // It may have lost its key and be in use: whoever looks for it has to find it.
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

  /** Null if somebody used it meanwhile. The key goes before the generation, so that nobody finds the new one under the old key. */
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
