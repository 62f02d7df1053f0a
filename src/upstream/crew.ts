// The crew of one target: the threads that check it in turn, and that avoid it after a failed dial of any of
// them.

import type { Cells } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'
import type { Finding } from './finding.ts'
import type { CheckCrew, Findings, SharedFindings } from './findings.ts'
import type { UpstreamTarget } from './target.ts'

/** The threads that make the same checks of `target`; null where only this thread does. */
export function crewOf(
  { name: address, from }: UpstreamTarget,
  cells: Cells | undefined,
  shared: SharedFindings | undefined,
): CheckCrew | null {
  if (cells === undefined || shared === undefined) return null
  const { findings, checkName } = shared
  const key = `${checkName} ${address} ${from}`
  return { duty: cells.count(key), findings, key }
}

/** Reports the results of dials to `target` under `key`, and applies the results reported there to it. */
export function followDials(target: UpstreamTarget, findings: Findings, key: string, clock: Clock): void {
  const learn = (finding: Finding | null): void => {
    if (finding?.kind === 'dial') target.learn(finding.failure, clock.now(), clock.wall() - finding.at)
  }
  learn(findings.known(key))
  target.tell = (failure) => findings.tell({ kind: 'dial', key, failure, at: clock.wall() })
  target.unfollow = findings.follow(key, learn)
}
