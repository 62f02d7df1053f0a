// The present wait of an open connection, in words and numbers for an operator. Nothing here is kept: the
// part that serves the connection makes it from the values that its deadlines compare anyway, so it costs an
// idle connection nothing.

import type { Reason, Side } from './close.ts'

/** The bound of a wait: the key that sets it, and the end that it leads to. */
export interface Bound {
  /** The configuration key that sets it, such as `deadlines.write`. */
  key: string
  /** The reason of that end, and the side that causes it. */
  reason: Reason
  side: Side
}

/** A deadline that ends the wait, unless something moves before it. */
export interface NextDeadline extends Bound {
  /** Milliseconds of the Clock; the sweep acts on it up to half a second later. */
  at: number
}

export interface Wait {
  /** The state in the words of the part that serves the connection: `open`, `lingering`, `closing`. */
  state: string
  /** Finishes the sentence "it waits for ...". */
  waitsFor: string
  /** Null while this wait has no bound. */
  next: NextDeadline | null
  /**
   * Bytes that the kernel has taken for each peer and that have not reached it, at the last look; absent
   * where nothing looks.
   */
  kernel?: { client: number; upstream: number }
}

/** The first deadline to come due; those that are off (infinity) or not armed (null) do not count. */
export function earliest(deadlines: readonly (NextDeadline | null)[]): NextDeadline | null {
  let first: NextDeadline | null = null
  for (const deadline of deadlines) {
    if (deadline !== null && Number.isFinite(deadline.at) && (first === null || deadline.at < first.at))
      first = deadline
  }
  return first
}

/** `1 byte`, `2 bytes`. */
export function counted(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`
}

/** `300 B`, `12 KiB`, `1.5 MiB`: rounded, for people. */
export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const power = bytes < 1023.5 * 1024 ? 1 : bytes < 1023.5 * 1024 ** 2 ? 2 : 3
  const amount = bytes / 1024 ** power
  return `${amount < 9.95 ? Number(amount.toFixed(1)) : Math.round(amount)} ${['KiB', 'MiB', 'GiB'][power - 1]!}`
}

/** `0.3s`, `12s`, `3m20s`, `5h12m`, `4d6h`: two units at most. */
export function formatAge(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)}s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${pad(seconds % 60)}s`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${pad(Math.floor((seconds % 3600) / 60))}m`
  return `${Math.floor(seconds / 86_400)}d${pad(Math.floor((seconds % 86_400) / 3600))}h`
}

function pad(amount: number): string {
  return String(amount).padStart(2, '0')
}
