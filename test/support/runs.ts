// How often a property is tried. The seed of fast-check is another one each time, so the runs of a day add up; `.ci/run` sets
// SIDEGATE_CI, and tries each as often as it takes to find what it was written for in a single run.

/** A test tries all combinations, not a part of them that meets each value once. */
export const isInFull = process.env['SIDEGATE_CI'] !== undefined

/** A fifth of `full`, or all of it. */
export function runs(full: number): number {
  return isInFull ? full : Math.ceil(full / 5)
}
