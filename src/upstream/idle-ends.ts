// What kept connections have shown of their services lately, by address: after which idle time one was ended,
// and whether one had bytes that no request had asked for. The gate keeps it, since a reload may give a
// listener another upstream with pools of its own, in front of the same service. Strays can do harm before
// they are known, so one thread tells the others of them.

import type { Clock } from '../core/clock.ts'
import type { Finding } from './finding.ts'
import type { Findings } from './findings.ts'

/** How long it is remembered that a service closed an idle connection. */
export const MEMORY_MS = 60_000
/** How long it is remembered that a service sent bytes that no request had asked for. */
export const STRAYS_MS = 600_000
/** A service may send strays behind each answer: other threads get one report in this time. */
const REPORT_MS = STRAYS_MS / 10
/** Above so many addresses, those that no service has closed a connection of lately are forgotten. */
const MOST_KNOWN = 1024

/** The other threads: how they learn of strays, and what they have found. */
export interface OtherThreads {
  findings: Findings
  clock: Clock
}

export class IdleEnd {
  /** Reports strays to other threads. */
  readonly #tell: () => void
  #afterMs = Number.POSITIVE_INFINITY
  #at = Number.NEGATIVE_INFINITY
  #strayedAt = Number.NEGATIVE_INFINITY
  #toldAt = Number.NEGATIVE_INFINITY

  constructor(tell: () => void = () => {}) {
    this.#tell = tell
  }

  /** The shortest idle time of an end lately; Infinity where there was none. */
  afterMs(now: number): number {
    return this.#hasNoEnd(now) ? Number.POSITIVE_INFINITY : this.#afterMs
  }

  isForgotten(now: number): boolean {
    return this.#hasNoEnd(now) && !this.hasStrays(now)
  }

  #hasNoEnd(now: number): boolean {
    return now - this.#at >= MEMORY_MS
  }

  /** The service has sent bytes behind an answer, which no request had asked for. */
  stray(now: number): void {
    this.#strayedAt = now
    if (now - this.#toldAt < REPORT_MS) return
    this.#toldAt = now
    this.#tell()
  }

  /** Another thread has seen such bytes. */
  learnStray(at: number): void {
    this.#strayedAt = Math.max(this.#strayedAt, at)
    this.#toldAt = Math.max(this.#toldAt, at)
  }

  /** Bytes that a service sends late may meet another client's request, on its way to the same connection. */
  hasStrays(now: number): boolean {
    return now - this.#strayedAt < STRAYS_MS
  }

  /** The service has closed a connection after this idle time. */
  learn(idleMs: number, now: number): void {
    if (idleMs > this.afterMs(now)) return
    this.#afterMs = idleMs
    this.#at = now
  }
}

/** What is known of one address, and the end of its reports from other threads. */
interface Known {
  end: IdleEnd
  unfollow: () => void
}

export class IdleEnds {
  readonly #others: OtherThreads | null
  readonly #known = new Map<string, Known>()

  constructor(others: OtherThreads | null = null) {
    this.#others = others
  }

  of(address: string, now: number): IdleEnd {
    const known = this.#known.get(address)
    if (known !== undefined) return known.end
    if (this.#known.size >= MOST_KNOWN) this.#forget(now)
    const made = this.#others === null ? { end: new IdleEnd(), unfollow() {} } : follow(this.#others, address)
    this.#known.set(address, made)
    return made.end
  }

  #forget(now: number): void {
    for (const [address, { end, unfollow }] of this.#known) {
      if (!end.isForgotten(now)) continue
      unfollow()
      this.#known.delete(address)
    }
  }
}

function follow({ findings, clock }: OtherThreads, address: string): Known {
  const key = `strays ${address}`
  const end = new IdleEnd(() => findings.tell({ kind: 'stray', key, at: clock.wall() }))
  const learn = (finding: Finding | null): void => {
    if (finding?.kind === 'stray') end.learnStray(clock.now() - Math.max(0, clock.wall() - finding.at))
  }
  learn(findings.known(key))
  return { end, unfollow: findings.follow(key, learn) }
}
