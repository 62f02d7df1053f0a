// The threads of the workers, as the admin server sees them.

import type { WorkerProfiles } from '../admin/debug-routes.ts'
import type { Crew } from './crew.ts'
import type { Gates } from './gates.ts'

/** `workers`: their number as configured; one is the main thread. */
export function workerProfiles(workers: number, gates: Gates, crew: Crew | null): WorkerProfiles {
  return {
    count: workers === 1 ? 0 : workers,
    profile: (worker, order) => gates.profile(worker, order),
    snapshot: (worker) => crew?.snapshot(worker) ?? null,
  }
}
