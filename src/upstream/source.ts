// One name of an upstream, and the addresses that it stands for. An address that an answer does not have is *missing*, one
// that two in a row do not have is gone: a resolver that shuffles, or loses an answer, ends no connection.

import { Names } from './names.ts'
import type { NameWatcher } from './names.ts'

/** Answers in a row without it that make an address gone. */
const GONE_AFTER = 2
/** Of one name. Far above what a service behind one sidecar has; it bounds what a broken answer can do to us. */
export const MAX_ADDRESSES = 256

export class Source implements NameWatcher {
  readonly name: string
  readonly port: number
  readonly #names: Names
  readonly #onChanged: () => void
  readonly #wall: () => number
  /** Answers in a row without it, by address; 0 for those of the last answer. */
  readonly misses = new Map<string, number>()
  /** Null while the last question was answered. */
  problem: string | null = null
  /** Wall clock of the last answer. */
  answeredAt: number | null = null
  #unwatch: (() => void) | null = null

  constructor(name: string, port: number, names: Names, wall: () => number, onChanged: () => void) {
    this.name = name
    this.port = port
    this.#names = names
    this.#wall = wall
    this.#onChanged = onChanged
  }

  start(): void {
    this.#unwatch ??= this.#names.watch(this.name, this)
  }

  stop(): void {
    this.#unwatch?.()
    this.#unwatch = null
  }

  /** Neither an answer nor a problem has come yet. */
  get isUnknown(): boolean {
    return this.problem === null && this.answeredAt === null
  }

  onAddresses(addresses: readonly string[]): void {
    // In an order of our own: of too many, always the same are used.
    const used = addresses.length > MAX_ADDRESSES ? addresses.toSorted().slice(0, MAX_ADDRESSES) : addresses
    this.problem = addresses.length > MAX_ADDRESSES ? `${addresses.length} addresses, of which ${MAX_ADDRESSES} are used` : null
    this.answeredAt = this.#wall()
    for (const [address, misses] of this.misses) {
      if (misses + 1 >= GONE_AFTER) this.misses.delete(address)
      else this.misses.set(address, misses + 1)
    }
    for (const address of used) this.misses.set(address, 0)
    this.#onChanged()
  }

  onNameProblem(problem: string): void {
    this.problem = problem
    this.#onChanged()
  }
}
