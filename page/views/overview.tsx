// The gate's present and past: its figures, the last quarter of an hour, and links to the other views.

import type { Info, ListenerRow } from '../../src/admin/types.ts'
import type { UpstreamView } from '../../src/upstream/upstream-view.ts'
import { formatAge, formatBytes, formatCount, formatKnown, formatMs, formatPercent } from '../format.ts'
import { Answered, Scrolls } from '../parts.tsx'
import { usePoll } from '../poll.ts'
import { linkTo } from '../route.ts'
import { lastOf, useSeries } from '../series.ts'
import type { Series } from '../series.ts'
import { Configuration } from './configuration-state.tsx'
import { Plots } from './plots.tsx'
import { SharedLimits } from './shared-limits.tsx'

type Upstream = UpstreamView & { listener: string }

export function Overview({ info }: { info: Info }) {
  const series = useSeries()
  return (
    <>
      <Now info={info} series={series} />
      <Plots series={series} />
      <div class="columns">
        <Listeners />
        <Upstreams />
        <Configuration info={info} />
        {info.shared !== null && (
          <SharedLimits
            shared={info.shared}
            series={series}
            now={Date.parse(info.startedAt) + info.uptimeMs}
          />
        )}
      </div>
    </>
  )
}

function Now({ info, series }: { info: Info; series: Series }) {
  const { memory } = info
  const buffered = sumOf(
    lastOf(series.one('bufferedBytes', { side: 'client' })),
    lastOf(series.one('bufferedBytes', { side: 'upstream' })),
  )
  const delay = lastOf(series.one('loopDelayMs', { quantile: 'p99' }))
  const heldBack = lastOf(series.one('heldBack'))
  return (
    <section class="now" aria-label="Now">
      <Number name="Open connections" value={formatCount(info.connections)} note={protocolsOf(info)} />
      <Number
        name="Held back"
        value={formatKnown(heldBack, formatCount)}
        note="whose reader is slower than their writer"
        isOdd={heldBack !== null && heldBack > 0}
      />
      <Number
        name="Buffered"
        value={formatKnown(buffered, formatBytes)}
        note={memory === null ? '' : `of ${formatBytes(memory.bufferedLimitBytes)} at the most`}
        isOdd={memory !== null && buffered !== null && buffered > 0.8 * memory.bufferedLimitBytes}
      />
      <Number
        name="Memory"
        value={memory === null ? '–' : formatPercent(memory.usageBytes / memory.limitBytes)}
        note={memory === null ? '' : `${formatBytes(memory.usageBytes)} of ${formatBytes(memory.limitBytes)}`}
        isOdd={memory !== null && memory.pressure > 0.85}
      />
      <Number
        name="Event loop"
        value={formatKnown(delay, formatMs)}
        note="late at the 99th percentile"
        isOdd={delay !== null && delay > 100}
      />
      <Number
        name="Up"
        value={formatAge(info.uptimeMs)}
        note={`${info.version}, Node ${info.node.slice(1)}, pid ${info.pid}`}
      />
    </section>
  )
}

function sumOf(one: number | null, other: number | null): number | null {
  return one === null && other === null ? null : (one ?? 0) + (other ?? 0)
}

function protocolsOf({ protocols }: Info): string {
  const told = Object.entries(protocols).map(([name, count]) => `${formatCount(count)} ${name}`)
  return told.length === 0 ? 'nobody is connected' : told.join(', ')
}

function Number({
  name,
  value,
  note,
  isOdd = false,
}: {
  name: string
  value: string
  note: string
  isOdd?: boolean
}) {
  return (
    <div class={`number ${isOdd ? 'odd' : ''}`}>
      <span class="name">{name}</span>
      <span class="value">{value}</span>
      <span class="note">{note}</span>
    </div>
  )
}

function Listeners() {
  const polled = usePoll<ListenerRow[]>('listeners', 5000)
  return (
    <section class="card">
      <h2>Listeners</h2>
      <Answered polled={polled}>{(rows) => <ListenerTable rows={rows} />}</Answered>
    </section>
  )
}

function ListenerTable({ rows }: { rows: readonly ListenerRow[] }) {
  return (
    <Scrolls label="Listeners">
      <table>
        <thead>
          <tr>
            <th scope="col">Name</th>
            <th scope="col">Address</th>
            <th scope="col">Upstream</th>
            <th scope="col" class="right">
              Open
            </th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ name, address, upstream, connections }) => (
            <tr key={name}>
              <td>
                <a href={linkTo('connections', new URLSearchParams({ listener: name }))}>{name}</a>
              </td>
              <td class="mono">{address}</td>
              <td class="mono">{upstream}</td>
              <td class="right">{formatCount(connections)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolls>
  )
}

function Upstreams() {
  const polled = usePoll<Upstream[]>('upstreams', 5000)
  return (
    <section class="card">
      <h2>Upstreams</h2>
      <Answered polled={polled}>{(upstreams) => <UpstreamTable upstreams={upstreams} />}</Answered>
    </section>
  )
}

function UpstreamTable({ upstreams }: { upstreams: readonly Upstream[] }) {
  const rows = upstreams.flatMap(({ listener, targets }) =>
    targets.map((target) => ({ listener, ...target })),
  )
  if (rows.length === 0)
    return <p class="empty">No address: the names have not been resolved, or there are none.</p>
  return (
    <Scrolls label="Upstreams">
      <table>
        <thead>
          <tr>
            <th scope="col">Address</th>
            <th scope="col">State</th>
            <th scope="col" class="right">
              Open
            </th>
            <th scope="col">Last failure</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ listener, address, state, open, lastFailure, lastCheck }) => (
            <tr key={`${listener} ${address}`}>
              <td class="mono" title={`of ${listener}`}>
                {address}
              </td>
              <td>
                <span class={`state ${state}`}>{state === 'unknown' ? 'not checked' : state}</span>
              </td>
              <td class="right">{formatCount(open)}</td>
              <td class="quiet">{lastFailure?.problem ?? lastCheck?.problem ?? 'none'}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scrolls>
  )
}
