// A timeline as lines for a terminal.

import type { TimelineEntry } from '../../admin/types.ts'
import { counted, formatAge } from '../../core/wait.ts'

export function timelineLines(timeline: readonly TimelineEntry[]): string[] {
  return timeline.map(({ at, afterMs, event, detail, count, until }) => {
    const often =
      count === undefined
        ? ''
        : ` (${counted(count, 'time')}${until === undefined ? '' : `, until ${timeOf(until)}`})`
    const words = `${event.replaceAll('_', ' ')}${detail === undefined ? '' : `: ${detail}`}${often}`
    return `${timeOf(at)}  ${`+${afterMs < 1000 ? `${afterMs}ms` : formatAge(afterMs)}`.padStart(8)}  ${words}`
  })
}

function timeOf(at: string): string {
  return at.slice(11, 23)
}
