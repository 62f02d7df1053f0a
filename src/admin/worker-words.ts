// What an answer lacks because of a worker, in words for an operator: for the commands and for the page.
import type { WorkersView } from './types.ts'

/** `worker 1 does not answer`; null where all do. */
export function silentInWords(silent: readonly (number | string)[]): string | null {
  if (silent.length === 0) return null
  return silent.length === 1
    ? `worker ${silent[0]} does not answer: its connections and ends are left out`
    : `workers ${silent.join(', ')} do not answer: their connections and ends are left out`
}

/** What no listing has of a worker that ended. */
export function lostInWords(end: NonNullable<WorkersView['lastEnd']>): string {
  const { at, worker, why, connections } = end
  const held = connections === 1 ? 'one connection' : `${connections} connections`
  return `Worker ${worker} ended at ${at.slice(11, 19)} UTC with ${held} (${why}): these, and the ends that it remembered, are not listed.`
}
