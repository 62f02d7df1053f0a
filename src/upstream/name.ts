// The addresses of a name, as far as the answers of DNS show them: one record for all upstreams with that
// name. It outlives each of them.
//
//     an answer          its addresses are in use; one that it lacks is *missing*, one that two in a row lack is gone
//     "no such name"     nothing changes but the time since the first such answer: each upstream gives the addresses up
//                        in its own time
//     any other failure  nothing changes: a resolver that is out of order says nothing about the name

/**
 * Consecutive answers without an address that make it gone: a resolver that shuffles, or loses an answer,
 * removes none.
 */
const GONE_AFTER = 2
/**
 * Addresses of one name. Far above the number that a service behind one sidecar has; it bounds the effect of
 * a broken answer.
 */
const MAX_ADDRESSES = 256

export class Name {
  readonly name: string
  /** Consecutive answers that lacked an address, by address; 0 for those of the last answer. */
  readonly misses = new Map<string, number>()
  /** The failure of the last lookup; null if it succeeded. */
  problem: string | null = null
  /** Wall clock of the last answer. */
  answeredAt: number | null = null
  /** Wall clock of the first "no such name" since the last answer. */
  absentAt: number | null = null
  #isAnswered = false
  #absentSince: number | null = null
  /** Null: the last lookup found no such name. Otherwise the time at which another failure followed. */
  #absentUntil: number | null = null
  /** No lookup ran for a while: the addresses hold only if the next lookup fails. */
  #isUnsure = false

  constructor(name: string) {
    this.name = name
  }

  /** There is no answer and no problem yet, or none that still holds. */
  get isUnknown(): boolean {
    return this.#isUnsure || (this.problem === null && this.answeredAt === null)
  }

  /** The last lookup gave addresses. */
  get isAnswered(): boolean {
    return this.#isAnswered
  }

  /** The last lookup found no such name. */
  get isAbsent(): boolean {
    return this.#absentSince !== null && this.#absentUntil === null
  }

  /** For how long lookups have found no such name; 0 where there is one. */
  absentMs(now: number): number {
    return this.#absentSince === null ? 0 : (this.#absentUntil ?? now) - this.#absentSince
  }

  /** No upstream watches the name any more. */
  rest(): void {
    this.#isUnsure = this.answeredAt !== null
  }

  onAnswer(addresses: readonly string[], wall: number): void {
    // Sorted, so that of too many addresses always the same are used.
    const used = addresses.length > MAX_ADDRESSES ? addresses.toSorted().slice(0, MAX_ADDRESSES) : addresses
    this.problem =
      addresses.length > MAX_ADDRESSES
        ? `${addresses.length} addresses, of which ${MAX_ADDRESSES} are used`
        : null
    this.answeredAt = wall
    this.#isAnswered = true
    this.absentAt = this.#absentSince = this.#absentUntil = null
    // The addresses of a long-ago answer are neither missing nor gone: they are forgotten.
    if (this.#isUnsure) this.misses.clear()
    this.#isUnsure = false
    for (const [address, misses] of this.misses) {
      if (misses + 1 >= GONE_AFTER) this.misses.delete(address)
      else this.misses.set(address, misses + 1)
    }
    for (const address of used) this.misses.set(address, 0)
  }

  /** The resolver reports that there is no such name, or that the name has no addresses. */
  onAbsent(problem: string, now: number, wall: number): void {
    if (this.#isUnsure) {
      this.misses.clear()
      this.answeredAt = null
    }
    this.problem = problem
    this.#isAnswered = this.#isUnsure = false
    this.absentAt ??= wall
    this.#absentSince ??= now
    this.#absentUntil = null
  }

  /** The lookup failed, or took too long. */
  onProblem(problem: string, now: number): void {
    this.problem = problem
    this.#isAnswered = this.#isUnsure = false
    if (this.isAbsent) this.#absentUntil = now
  }
}
