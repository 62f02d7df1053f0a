// What one thread finds out about an address of an upstream, told to all of them: results of health checks, which one of them makes alone,
// and dials that failed, so that the others avoid the address as well.
//
//     finder --tell--> its gate --`found`--> operator --`learn`--> the other gates --> followers of the same key
//
// The latest finding of each key is remembered: whoever begins to follow it later starts from there.

import type { Cells } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'
import type { CheckCrew, Checked, Health } from './health-check.ts'
import type { DialFailure, UpstreamTarget } from './target.ts'

export type Finding =
  /** Of a probe. */
  | { kind: 'check'; key: string; state: Health; last: Checked }
  /** Of a dial for a connection, `at` by the wall clock; null: it stands. */
  | { kind: 'dial'; key: string; failure: DialFailure | null; at: number }

type Follower = (finding: Finding) => void

/** Keys that are remembered; 16 upstreams with as many addresses as a name may have. */
const MAX_KNOWN = 4096

export class Findings {
  readonly #onTold: Follower
  /** The one that was heard of last comes last. */
  readonly #known = new Map<string, Finding>()
  readonly #followers = new Map<string, Set<Follower>>()

  /** `onTold`: something was found here that other threads do not know. */
  constructor(onTold: Follower = () => {}) {
    this.#onTold = onTold
  }

  get all(): Finding[] {
    return [...this.#known.values()]
  }

  known(key: string): Finding | null {
    return this.#known.get(key) ?? null
  }

  /** From here on each finding of that key, also those of this thread; until the result is called. */
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
    this.#onTold(finding)
  }

  /** Another thread has found it. */
  learn(finding: Finding): void {
    const { key } = finding
    this.#known.delete(key)
    this.#known.set(key, finding)
    if (this.#known.size > MAX_KNOWN) this.#known.delete(this.#known.keys().next().value!)
    for (const follower of [...(this.#followers.get(key) ?? [])]) follower(finding)
  }
}

/** Those whose checks have the same name check alike. */
export interface SharedFindings {
  findings: Findings
  checkName: string
}

/** All who check `target` as we do; null where nobody else does. */
export function crewOf(
  { name: address, from }: UpstreamTarget,
  { cells, findings: shared }: { cells?: Cells; findings?: SharedFindings },
): CheckCrew | null {
  if (cells === undefined || shared === undefined) return null
  const { findings, checkName } = shared
  const key = `${checkName} ${address} ${from}`
  return { duty: cells.count(key), findings, key }
}

/** What dials to `target` come to is told under `key`, and what is told there holds for it. */
export function followDials(target: UpstreamTarget, findings: Findings, key: string, clock: Clock): void {
  const learn = (finding: Finding | null): void => {
    if (finding?.kind === 'dial') target.learn(finding.failure, clock.now(), clock.wall() - finding.at)
  }
  learn(findings.known(key))
  target.tell = (failure) => findings.tell({ kind: 'dial', key, failure, at: clock.wall() })
  target.unfollow = findings.follow(key, learn)
}
