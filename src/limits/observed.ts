// A limit that only observes, while it is in doubt: a fleet was asked for tokens, and has not answered. An
// enforced limit waits for the answer; one that observes delays nobody, so it draws as a debt. Anything after
// the answer is judged by all that came.

import type { Tokens } from '../core/cells.ts'

/** Whether `amount` passes without being over the limit, as far as is known. */
export function draw(
  { bucket, isEnforced }: { bucket: Tokens; isEnforced: boolean },
  amount: number,
  now: number,
): boolean {
  if (bucket.take(amount, now)) return true
  if (isEnforced || bucket.isUnsure !== true) return false
  bucket.spend(amount, now)
  return true
}
