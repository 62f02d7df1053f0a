// Random numbers that a test can repeat, and a check whether observations are uniform.

/** 0..1, the same for each seed (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/**
 * The probability that moments which are uniform over 0..window lie no closer to uniform than these do (Kolmogorov and Smirnov). The test
 * may see each late, by up to `late`, never early: uniform moments do not become unlikely on a machine that stands still for that long.
 */
export function kolmogorovSmirnov(moments: Iterable<number>, window: number, late = 0): number {
  const sorted = [...moments].sort((one, other) => one - other)
  const n = sorted.length
  const share = (moment: number): number => Math.min(1, Math.max(0, moment / window))
  let distance = 0
  for (const [index, moment] of sorted.entries())
    distance = Math.max(distance, (index + 1) / n - share(moment), share(moment - late) - index / n)
  const scaled = (Math.sqrt(n) + 0.12 + 0.11 / Math.sqrt(n)) * distance
  let sum = 0
  for (let term = 1; term <= 100; term += 1)
    sum += (term % 2 === 1 ? 2 : -2) * Math.exp(-2 * term * term * scaled * scaled)
  return scaled < 0.2 ? 1 : Math.min(1, Math.max(0, sum))
}
