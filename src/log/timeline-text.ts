// A timeline in one field of the log: `0ms accepted 10.0.0.7:51234; 3ms connected 127.0.0.1:8080; 5012ms
// stalled client`. Milliseconds count from the accept.

import { storyOf } from '../core/timeline.ts'
import type { Story } from '../core/timeline.ts'

export function timelineText(connection: Story, now: number): string {
  return storyOf(connection, now)
    .map(({ afterMs, lastMs, event, detail, count }) => {
      const often =
        count === 1 && event !== 'folded' ? '' : ` (${count} times, until ${Math.round(lastMs)}ms)`
      return `${Math.round(afterMs)}ms ${event}${detail === null ? '' : ` ${detail}`}${often}`
    })
    .join('; ')
}
