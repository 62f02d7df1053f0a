// The state of limits that all gates of a fleet share: whether Redis answers, and which rule holds while it
// does not.

import type { SharedView } from '../../src/admin/types.ts'
import { formatAgo, formatCount, formatMs } from '../format.ts'
import { Fact, Facts } from '../parts.tsx'
import type { Series, Values } from '../series.ts'

const meaningOfMode: Record<SharedView['mode'], string> = {
  leased: 'leased from Redis',
  local: 'each gate enforces its share',
  open: 'they do not limit',
  closed: 'nothing is let through but what was granted before',
}

/** Steps of 5 s: the last minute. */
const RECENT = 12

export function SharedLimits({ shared, series, now }: { shared: SharedView; series: Series; now: number }) {
  const { redis, isUp, mode, gates, leases, since, problem } = shared
  const bad = requestsOf(series, 'timeout') + requestsOf(series, 'error')
  return (
    <section class="card" aria-label="Shared limits">
      <h2>Shared limits</h2>
      <Facts>
        <Fact name="Redis">
          <span class="mono">{redis}</span>{' '}
          <span class={isUp ? '' : 'odd'}>
            {isUp ? 'is up' : since === null ? 'has not answered yet' : 'is away'}
          </span>
        </Fact>
        <Fact name="Limits">
          <span class={mode === 'leased' ? '' : 'odd'}>{meaningOfMode[mode]}</span>
        </Fact>
        <Fact name="Gates">{formatCount(gates)}</Fact>
        <Fact name="Leases here">{formatCount(leases)}</Fact>
        <Fact name="Requests, last minute">
          {formatCount(requestsOf(series, 'ok'))} answered
          {bad > 0 && <span class="odd">, {formatCount(bad)} not</span>}
        </Fact>
        <Fact name="Answers took">{answerTime(series)}</Fact>
        {since !== null && (
          <Fact name={isUp ? 'Up' : 'Away'}>since {formatAgo(since, now).replace(' ago', '')}</Fact>
        )}
        {problem !== null && <Fact name="Last problem">{problem}</Fact>}
      </Facts>
    </section>
  )
}

function requestsOf(series: Series, result: string): number {
  return sum(series.one('sharedRequests', { result }))
}

/** The mean of the last minute. */
function answerTime(series: Series): string {
  const batches = sum(series.one('sharedBatches'))
  return batches === 0
    ? 'none was asked for'
    : `${formatMs(sum(series.one('sharedAnswerMs')) / batches)} in the mean`
}

function sum(values: Values): number {
  return values.slice(-RECENT).reduce<number>((all, value) => all + (value ?? 0), 0)
}
