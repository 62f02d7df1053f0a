// Findings: news about an address of an upstream, which one thread learns and passes to all threads. These
// are the results of health checks, which one thread makes for all, failed dials, so that the other threads
// avoid the address as well, and bytes behind a whole answer, so that clients share no connection there.
//
//     finder --tell--> its gate --`found`--> operator --`learn`--> the other gates --> followers of the same key
//
// The latest finding of each key is kept: a follower that comes later, in a thread that joins or by a reload,
// starts from it.

import type { Count } from '../core/cells.ts'
import type { Finding } from './finding.ts'

type Follower = (finding: Finding) => void

/** Keys that are kept: 16 upstreams with as many addresses as a name may have. */
const MAX_KNOWN = 4096

export class Findings {
  readonly #onFound: Follower
  /** The most recent key comes last. */
  readonly #known = new Map<string, Finding>()
  readonly #followers = new Map<string, Set<Follower>>()

  /** `onFound` gets each finding of this thread, which other threads do not know. */
  constructor(onFound: Follower = () => {}) {
    this.#onFound = onFound
  }

  get all(): Finding[] {
    return [...this.#known.values()]
  }

  known(key: string): Finding | null {
    return this.#known.get(key) ?? null
  }

  /**
   * Calls `follower` with each finding of that key, those of this thread included, until the returned
   * function is called.
   */
  follow(key: string, follower: Follower): () => void {
    const followers = this.#followers.get(key) ?? new Set()
    this.#followers.set(key, followers.add(follower))
    return () => {
      followers.delete(follower)
      if (followers.size === 0 && this.#followers.get(key) === followers) this.#followers.delete(key)
    }
  }

  tell(finding: Finding): void {
    this.learn(finding)
    this.#onFound(finding)
  }

  /** Takes a finding of another thread. */
  learn(finding: Finding): void {
    const { key } = finding
    this.#known.delete(key)
    this.#known.set(key, finding)
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!)
    for (const follower of [...(this.#followers.get(key) ?? [])]) follower(finding)
  }
}

/** Upstreams with the same `checkName` make the same checks. */
export interface SharedFindings {
  findings: Findings
  checkName: string
}

/** The threads that check one address in the same way. */
export interface CheckCrew {
  /** The thread on duty holds its only place. */
  duty: Count
  findings: Findings
  key: string
}
