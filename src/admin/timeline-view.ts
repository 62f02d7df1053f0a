// The timeline of one connection, as the admin server shows it.

import { storyOf } from '../core/timeline.ts'
import type { Story } from '../core/timeline.ts'
import type { TimelineEntry } from './types.ts'

/** `wallOf` tells the wall-clock milliseconds of a moment of the Clock. `endedAt` is of the Clock, null while it is open. */
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
