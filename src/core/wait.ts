// What an open connection waits for, told in words and numbers when an operator asks. Nothing here is kept: whoever serves
// the connection makes it from what its deadlines compare anyway, so that being able to tell costs an idle connection nothing.

import type { Reason, Side } from './close.ts'

/** A deadline that ends the wait, unless something moves before. */
export interface NextDeadline {
  /** The configuration key that sets it, such as `deadlines.write`. */
  key: string
  /** What the connection ends with then, and whose doing that is. */
  reason: Reason
  side: Side
  /** Milliseconds of the Clock; the sweep that finds it due comes up to half a second later. */
  at: number
}

export interface Wait {
  /** Where whoever serves it is, in its own words: `open`, `lingering`, `closing`. */
  state: string
  /** Finishes the sentence "it waits for ...". */
  waitsFor: string
  /** Null where no bound of this wait is on. */
  next: NextDeadline | null
}

/** The first that is due; those that are off (infinity) and those that are not armed (null) do not count. */
export function earliest(deadlines: readonly (NextDeadline | null)[]): NextDeadline | null {
  let first: NextDeadline | null = null
  for (const deadline of deadlines) {
    if (deadline !== null && Number.isFinite(deadline.at) && (first === null || deadline.at < first.at)) first = deadline
  }
  return first
}

/** `300 B`, `12 KiB`, `1.5 MiB`: for a person, so rounded. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const power = bytes < 1023.5 * 1024 ? 1 : bytes < 1023.5 * 1024 ** 2 ? 2 : 3
  const amount = bytes / 1024 ** power
  return `${amount < 9.95 ? Number(amount.toFixed(1)) : Math.round(amount)} ${['KiB', 'MiB', 'GiB'][power - 1]!}`
}
