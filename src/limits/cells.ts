// The cells of a process with one thread on the path: a new plain object for each call, whatever the name.

import { LocalCount } from '../core/cells.ts'
import type { Cells, Scopes } from '../core/cells.ts'
import { Bucket } from './bucket.ts'

export const localCells: Cells = {
  isShared: false,
  count: () => new LocalCount(),
  bucket: (_name, { perSec, burst }, now) => new Bucket(perSec, burst, now),
}

const here = { cells: localCells, name: '' }

/** For one gate in one thread. */
export const localScopes: Scopes = { process: here, fleet: here }
