// The timeline of one connection, as the admin server shows it.

import { storyOf } from '../core/timeline.ts'
import type { Story } from '../core/timeline.ts'
import type { TimelineEntry } from './types.ts'

/**
 * `wallOf` converts a moment of the Clock to wall-clock milliseconds. `endedAt` is of the Clock, null while
 * it is open.
 */
export function viewTimeline(
  connection: Story,
  wallOf: (moment: number) => number,
  endedAt: number | null = null,
): TimelineEntry[] {
  const at = (afterMs: number): string => new Date(wallOf(connection.openedAt + afterMs)).toISOString()
  return storyOf(connection, endedAt).map(({ afterMs, lastMs, event, detail, count }) => ({
    at: at(afterMs),
    afterMs: Math.round(afterMs),
    event,
    ...(detail === null ? {} : { detail }),
    ...(count > 1 || event === 'folded' ? { count } : {}),
    ...(lastMs > afterMs ? { until: at(lastMs) } : {}),
  }))
}
