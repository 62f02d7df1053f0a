// The last quarter of an hour in six plots.

import { lineColor } from '../colors.ts'
import { formatBytes, formatCount, formatMs, formatPercent, formatRate } from '../format.ts'
import { isCalm } from '../parts.tsx'
import { Plot } from '../plot.tsx'
import type { Line } from '../plot.tsx'
import { STEPS } from '../series.ts'
import type { Series, Values } from '../series.ts'

/** A viewer cannot distinguish more lines: the rest is added up. */
const MAX_LINES = 7
/** Bytes are counted in powers of two. */
const binary = Array.from({ length: 42 }, (_, power) => 2 ** power)
const whole = Array.from({ length: 9 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat()

export function Plots({ series }: { series: Series }) {
  const { at } = series
  return (
    <section class="plots" aria-label="The last 15 minutes">
      <Plot
        title="Open connections"
        about="By listener and protocol."
        at={at}
        lines={connectionLines(series)}
        format={formatCount}
        incrs={whole}
        isStacked
      />
      <Plot
        title="Ends by reason"
        about="Connections that ended in each 5 seconds, and why."
        at={at}
        lines={endLines(series)}
        format={formatCount}
        incrs={whole}
        isStacked
        empty="Nothing has ended in the last 15 minutes."
      />
      <Plot
        title="Bytes a second"
        about="Received from either side."
        at={at}
        lines={byteLines(series)}
        format={formatRate}
        incrs={binary}
      />
      <Plot
        title="Buffered"
        about="Bytes in our queues that wait for a reader."
        at={at}
        lines={bufferLines(series)}
        format={formatBytes}
        incrs={binary}
      />
      <Plot
        title="Memory against the limit"
        about="Of the container, or of the machine where it has none."
        at={at}
        lines={memoryLines(series)}
        format={formatPercent}
      />
      <Plot
        title="Event loop delay"
        about="How late everything is: the 99th percentile and the worst of each 5 seconds."
        at={at}
        lines={delayLines(series)}
        format={formatMs}
      />
    </section>
  )
}

function connectionLines(series: Series): Line[] {
  const rows = series
    .all('connections')
    .filter(({ values }) => values.some((value) => (value ?? 0) > 0))
    .map(({ labels, values }) => ({ label: `${labels['listener']} ${labels['protocol']}`, values }))
  return colored(most(rows))
}

/** Calm reasons in the calm color, at the bottom; each other reason in its own. */
function endLines(series: Series): Line[] {
  const byReason = new Map<string, Values>()
  for (const { labels, values } of series.all('ended')) {
    if (values.every((value) => value === 0)) continue
    const label = labels['reason']!
    byReason.set(label, sum(byReason.get(label), values))
  }
  for (const { labels, values } of series.all('refused'))
    if (values.some((value) => (value ?? 0) > 0)) byReason.set(`refused: ${labels['reason']}`, values)
  const rows = most([...byReason].map(([label, values]) => ({ label, values })))
  const calm = rows.filter(({ label }) => isCalm(label))
  const odd = rows.filter(({ label }) => !isCalm(label))
  return [
    ...calm.map((row) => ({ ...row, color: 'calm' })),
    ...odd.map((row, nth) => ({ ...row, color: lineColor(nth + 1) })),
  ]
}

function byteLines(series: Series): Line[] {
  return [
    {
      label: 'from clients',
      color: 'c0',
      values: series.perSecond(series.one('receivedBytes', { side: 'client' })),
    },
    {
      label: 'from upstreams',
      color: 'c1',
      values: series.perSecond(series.one('receivedBytes', { side: 'upstream' })),
    },
  ]
}

function bufferLines(series: Series): Line[] {
  return [
    { label: 'for clients', color: 'c0', values: series.one('bufferedBytes', { side: 'client' }) },
    { label: 'for upstreams', color: 'c1', values: series.one('bufferedBytes', { side: 'upstream' }) },
  ]
}

function memoryLines(series: Series): Line[] {
  const limits = series.one('memoryLimitBytes')
  const share = series
    .one('memoryBytes')
    .map((bytes, nth) => (bytes === null ? null : bytes / (limits[nth] ?? bytes)))
  return [{ label: 'used', color: 'c0', values: share }]
}

function delayLines(series: Series): Line[] {
  return [
    { label: 'worst', color: 'c1', values: series.one('loopDelayMs', { quantile: 'max' }) },
    { label: 'p99', color: 'c0', values: series.one('loopDelayMs', { quantile: 'p99' }) },
  ]
}

type Row = Pick<Line, 'label' | 'values'>

function colored(rows: readonly Row[]): Line[] {
  return rows.map((row, nth) => ({ ...row, color: lineColor(nth) }))
}

function most(rows: Row[]): Row[] {
  const total = ({ values }: Row): number => values.reduce<number>((all, value) => all + (value ?? 0), 0)
  const sorted = rows.sort((a, b) => total(b) - total(a))
  if (sorted.length <= MAX_LINES + 1) return sorted
  const rest = sorted
    .slice(MAX_LINES)
    .reduce<Values | undefined>((all, { values }) => sum(all, values), undefined)
  return [...sorted.slice(0, MAX_LINES), { label: 'others', values: rest ?? [] }]
}

function sum(one: Values | undefined, other: Values): Values {
  if (one === undefined) return other
  return other.slice(-STEPS).map((value, nth) => (value ?? 0) + (one[nth] ?? 0))
}
