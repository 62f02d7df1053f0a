// The history of a gate over real connections, which has the same numbers as a scrape.

import { test } from 'tap'
import { ask } from '../admin/admin.ts'
import type { SeriesView } from '../../src/admin/types.ts'
import { readSamples } from '../metrics/samples.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { History } from '../../src/metrics/history.ts'

async function series(gate: Gate, query = ''): Promise<SeriesView> {
  return JSON.parse((await ask(gate.adminPort, `/series${query}`, {}, 'GET')).body) as SeriesView
}

const lastOf = (
  view: SeriesView,
  name: string,
  labels: Record<string, string> = {},
): number | null | undefined =>
  view.columns
    .find(
      (column) =>
        column.name === name &&
        Object.entries(labels).every(([label, value]) => column.labels[label] === value),
    )
    ?.values.at(-1)

test('a gate has its first step at the start, and refuses questions that it does not understand', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, ['protocol: tcp, upstream: "127.0.0.1:1"'])
  const view = await series(gate)
  t.equal(view.stepMs, 5000)
  t.equal(view.at.length, 1)
  t.match(view.at[0], /^\d{4}-\d\d-\d\dT/)
  t.equal(lastOf(view, 'connections', { listener: 'l0', protocol: 'tcp' }), 0)
  t.same((await series(gate, `?after=${view.last}`)).at, [])
  for (const query of ['?after=x', '?after=-1', '?since=1'])
    t.equal((await ask(gate.adminPort, `/series${query}`, {}, 'GET')).status, 400, query)
})

test('a step has the numbers of a scrape at the same time', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const history = new History(fakeClock(), () => gate.operator.figures())
  await history.take()
  const ends = await connect(t, gate.port)
  await ends.write('twelve bytes')
  await ends.read(12)
  ends.end()
  await gate.end()
  const stays = await connect(t, gate.port)
  await stays.write('hello')
  await stays.read(5)
  await history.take()
  const view = { ...history.view(), at: [] }
  const scrape = readSamples(await gate.metrics())
  const same: Array<[string, Record<string, string>, string, Record<string, string>]> = [
    ['connections', { listener: 'l0', protocol: 'tcp' }, 'sidegate_connections', { side: 'client' }],
    ['opened', {}, 'sidegate_connections_opened_total', {}],
    [
      'ended',
      { reason: 'eof', side: 'client' },
      'sidegate_connections_closed_total',
      { reason: 'eof', side: 'client' },
    ],
    ['receivedBytes', { side: 'client' }, 'sidegate_receive_bytes_total', { side: 'client' }],
    ['sentBytes', { side: 'client' }, 'sidegate_transmit_bytes_total', { side: 'client' }],
    ['upstreams', { state: 'unknown' }, 'sidegate_upstream_targets', { state: 'unknown' }],
  ]
  for (const [name, labels, metric, metricLabels] of same) {
    const shown = scrape.sum(metric, metricLabels)
    t.ok(shown > 0, metric)
    t.equal(lastOf(view, name, labels), shown, `${name} is ${metric}`)
  }
})
