// The timeline of a connection, in order.

import type { TimelineEntry } from '../src/admin/types.ts'
import { timelineEvents } from '../src/core/timeline.ts'
import { formatAge, formatClock, plural } from './format.ts'

export function TimelineList({ timeline }: { timeline: readonly TimelineEntry[] }) {
  if (timeline.length === 0) return <p class="empty">Nothing was noted of it.</p>
  return (
    <ol class="timeline">
      {timeline.map(({ at, afterMs, event, detail, count, until }, nth) => (
        <li key={nth} class={odd.has(event) ? 'odd' : ''}>
          <time dateTime={at}>{formatClock(at)}</time>
          <span class="quiet right">+{formatAge(afterMs)}</span>
          <span>
            <span title={timelineEvents[event]}>{event.replaceAll('_', ' ')}</span>
            {detail !== undefined && <span class="quiet">: {detail}</span>}
            {count !== undefined && (
              <span class="quiet">
                {' '}
                ({plural(count, 'time')}
                {until !== undefined && `, until ${formatClock(until)}`})
              </span>
            )}
          </span>
        </li>
      ))}
    </ol>
  )
}

const odd: ReadonlySet<TimelineEntry['event']> = new Set([
  'connect_failed',
  'stalled',
  'ping_missed',
  'limited',
  'dropped',
  'cut_short',
])
