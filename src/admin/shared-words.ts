// The words for limits of a fleet whose Redis is away. Words only: several commands use them.

import type { SharedView } from './types.ts'

const whileAway = {
  leased: '',
  local: 'each gate has its share',
  open: 'its limits do not limit',
  closed: 'only what was granted is let through',
}

/** Null while it is up. */
export function awayInWords({ isUp, mode, redis }: SharedView): string | null {
  return isUp ? null : `Redis at ${redis} is away: ${whileAway[mode]}`
}

/** `since` and `problem` included. */
export function sharedInWords({ redis, isUp, mode, gates, leases, since, problem }: SharedView): string {
  const fleet = gates === 1 ? '1 gate' : `${gates} gates`
  const held = leases === 1 ? '1 lease' : `${leases} leases`
  if (isUp) return `${fleet}, ${held} from ${redis} since ${since}`
  const why = problem === null ? '' : ` (${problem})`
  return `${redis} is away${since === null ? '' : ` since ${since}`}${why}: ${whileAway[mode]}, of ${fleet}`
}
