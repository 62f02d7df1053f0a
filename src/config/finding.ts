// A finding of the rules of the configuration: problems.ts, warnings.ts and notes.ts find its place in the
// file.

import type { Path } from './path.ts'

/** A fault (or a risk) at a path, before its place in the file is known. */
export interface Finding {
  path: Path
  message: string
  /** Points at the key, where the value is not to blame. */
  isKey?: boolean
}
