// The gate's present and past: its figures, the last quarter of an hour, and links to the other views.

import type { Info, ListenerRow } from '../../src/admin/types.ts'
import type { UpstreamView } from '../../src/upstream/upstream-view.ts'
import { formatAge, formatBytes, formatCount, formatMs, formatPercent } from '../format.ts'
import { Scrolls } from '../parts.tsx'
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
  const buffered =
    (lastOf(series.one('bufferedBytes', { side: 'client' })) ?? 0) +
    (lastOf(series.one('bufferedBytes', { side: 'upstream' })) ?? 0)
  const delay = lastOf(series.one('loopDelayMs', { quantile: 'p99' }))
  const heldBack = lastOf(series.one('heldBack')) ?? 0
  return (
    <section class="now" aria-label="Now">
      <Number name="Open connections" value={formatCount(info.connections)} note={protocolsOf(info)} />
      <Number
        name="Held back"
        value={formatCount(heldBack)}
        note="whose reader is slower than their writer"
        isOdd={heldBack > 0}
      />
      <Number
        name="Buffered"
        value={formatBytes(buffered)}
        note={memory === null ? '' : `of ${formatBytes(memory.bufferedLimitBytes)} at the most`}
        isOdd={memory !== null && buffered > 0.8 * memory.bufferedLimitBytes}
      />
      <Number
        name="Memory"
        value={memory === null ? '–' : formatPercent(memory.usageBytes / memory.limitBytes)}
        note={memory === null ? '' : `${formatBytes(memory.usageBytes)} of ${formatBytes(memory.limitBytes)}`}
        isOdd={memory !== null && memory.pressure > 0.85}
      />
      <Number
        name="Event loop"
        value={delay === null ? '–' : formatMs(delay)}
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
  const { value } = usePoll<ListenerRow[]>('listeners', 5000)
  return (
    <section class="card">
      <h2>Listeners</h2>
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
            {value?.map(({ name, address, upstream, connections }) => (
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
    </section>
  )
}

function Upstreams() {
  const { value } = usePoll<Upstream[]>('upstreams', 5000)
  const rows = (value ?? []).flatMap(({ listener, targets }) =>
    targets.map((target) => ({ listener, ...target })),
  )
  return (
    <section class="card">
      <h2>Upstreams</h2>
      {value !== null && rows.length === 0 ? (
        <p class="empty">No address: the names have not been resolved, or there are none.</p>
      ) : (
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
      )}
    </section>
  )
}
