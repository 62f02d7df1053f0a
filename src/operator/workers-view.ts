// The threads of the workers, as the admin server sees them.

import type { Workers } from '../admin/workers.ts'
import type { Crew } from './crew.ts'
import type { Gates } from './gates.ts'

/** `workers`: their number as configured; one is the main thread. */
export function workersOfAdmin(workers: number, gates: Gates, crew: Crew | null): Workers {
  return {
    count: workers === 1 ? 0 : workers,
    silent: () => gates.silent,
    get lastEnd() {
      return crew?.lastEnd ?? null
    },
    profile: (worker, order) => gates.profile(worker, order),
    snapshot: (worker) => crew?.snapshot(worker) ?? null,
  }
}
