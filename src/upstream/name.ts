// The addresses of a name, as far as its answers tell: one record for all upstreams that have the name, which outlives each of them.
//
//     an answer          its addresses are in use; one that it lacks is *missing*, one that two in a row lack is gone
//     "no such name"     nothing changes, but how long it has been said is known: each upstream gives the addresses up in its own time
//     any other failure  nothing changes: a resolver that is out of order says nothing about the name

/** Answers in a row without it that make an address gone: a resolver that shuffles, or loses an answer, removes none. */
const GONE_AFTER = 2
/** Of one name. Far above what a service behind one sidecar has; it bounds what a broken answer can do to us. */
export const MAX_ADDRESSES = 256

export class Name {
  readonly name: string
  /** Answers in a row without it, by address; 0 for those of the last answer. */
  readonly misses = new Map<string, number>()
  /** The failure of the last question; null while it was answered. */
  problem: string | null = null
  /** Wall clock of the last answer. */
  answeredAt: number | null = null
  /** Wall clock of the first word that there is no such name, since the last answer. */
  absentAt: number | null = null
  #isAnswered = false
  #absentSince: number | null = null
  /** Null: the last word was that there is no such name. Else when another failure took its place. */
  #absentUntil: number | null = null
  /** Nobody asked for a while: what is known holds only if the next question fails. */
  #isUnsure = false

  constructor(name: string) {
    this.name = name
  }

  /** Neither an answer nor a problem has come yet, or none that still holds. */
  get isUnknown(): boolean {
    return this.#isUnsure || (this.problem === null && this.answeredAt === null)
  }

  /** The last question was answered with addresses. */
  get isAnswered(): boolean {
    return this.#isAnswered
  }

  /** The last word was that there is no such name. */
  get isAbsent(): boolean {
    return this.#absentSince !== null && this.#absentUntil === null
  }

  /** For how long there has been no such name, by what was heard; 0 where there is one. */
  absentMs(now: number): number {
    return this.#absentSince === null ? 0 : (this.#absentUntil ?? now) - this.#absentSince
  }

  /** Nobody asks any more. */
  rest(): void {
    this.#isUnsure = this.answeredAt !== null
  }

  onAnswer(addresses: readonly string[], wall: number): void {
    // In an order of our own: of too many, always the same are used.
    const used = addresses.length > MAX_ADDRESSES ? addresses.toSorted().slice(0, MAX_ADDRESSES) : addresses
    this.problem =
      addresses.length > MAX_ADDRESSES
        ? `${addresses.length} addresses, of which ${MAX_ADDRESSES} are used`
        : null
    this.answeredAt = wall
    this.#isAnswered = true
    this.absentAt = this.#absentSince = this.#absentUntil = null
    // What an answer of long ago had is neither missing nor gone: it is forgotten.
    if (this.#isUnsure) this.misses.clear()
    this.#isUnsure = false
    for (const [address, misses] of this.misses) {
      if (misses + 1 >= GONE_AFTER) this.misses.delete(address)
      else this.misses.set(address, misses + 1)
    }
    for (const address of used) this.misses.set(address, 0)
  }

  /** The resolver says that there is no such name, or that it has no addresses. */
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

  /** It could not be asked, or not in time. */
  onProblem(problem: string, now: number): void {
    this.problem = problem
    this.#isAnswered = this.#isUnsure = false
    if (this.isAbsent) this.#absentUntil = now
  }
}
