// The threads that relay, for an operator. One that hangs answers nothing: each answer of the admin server
// names it then, since a listing without its connections looks like all of them, and the connection that
// somebody complains of is mostly one of those.

import type { Route } from '../ops/ops-server.ts'
import type { ProfileKind } from './profiler.ts'
import type { WorkersView } from './types.ts'

export interface Workers {
  /** Their number; 0 where the main thread does everything. */
  readonly count: number
  /** Those whose event loop has not turned for seconds. */
  silent(): readonly number[]
  /** The last one that ended unasked. */
  readonly lastEnd: WorkersView['lastEnd']
  /** Null where the worker does not answer now. */
  profile(worker: number, order: { kind: ProfileKind; seconds: number }): Promise<string | null>
  snapshot(worker: number): AsyncIterable<Buffer> | null
}

export const noWorkers: Workers = {
  count: 0,
  silent: () => [],
  lastEnd: null,
  profile: () => Promise.resolve(null),
  snapshot: () => null,
}

/** Their numbers, separated by commas; absent where all answer. */
export const SILENT_HEADER = 'Sidegate-Silent-Workers'

/** The route with that header where its answer may lack something. */
export function tellingSilent(route: Route, workers: Pick<Workers, 'silent'>): Route {
  return {
    ...route,
    handle: async (request) => {
      const answer = await route.handle(request)
      const silent = workers.silent()
      return silent.length === 0
        ? answer
        : { ...answer, headers: { ...answer.headers, [SILENT_HEADER]: silent.join(', ') } }
    },
  }
}

/** Null where the main thread does everything. */
export function viewWorkers(workers: Workers): WorkersView | null {
  const { count, lastEnd } = workers
  return count === 0 ? null : { count, silent: workers.silent(), lastEnd }
}
