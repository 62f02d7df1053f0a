// The page and the Grafana dashboards show the same numbers for the same time: the test compares each plot
// and number of the page with the query of its panel, as a real Prometheus answers it.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { test } from 'tap'
import type { Test } from 'tap'
import type { SeriesView } from '../../src/admin/types.ts'
import { formatBytes } from '../../src/core/wait.ts'
import { openBrowser, openTab, shows } from '../support/browser.ts'
import { CHROMIUM } from '../support/chromium.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { connect, echo, flooder } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { get } from './program.ts'
import { prometheus } from './prometheus-server.ts'

t.setTimeout(180_000)

/** The window of the dashboards' rates here, in seconds: the whole test. */
const WINDOW = 120

/** Prometheus extrapolates by the distance of two scrapes at either end: with so many, that is little. */
const SCRAPES = 16

interface Dashboard {
  panels: Array<{ title: string; targets?: Array<{ expr: string }> }>
}

const panels = ['overview', 'trouble'].flatMap((name) => {
  const file = join(import.meta.dirname, `../../deploy/grafana/sidegate-${name}.json`)
  return (JSON.parse(readFileSync(file, 'utf8')) as Dashboard).panels
})

/** The nth query of the first panel of that title. */
function queryOf(title: string, nth = 0): string {
  const { expr } = panels.find((panel) => panel.title === title && panel.targets !== undefined)!.targets![
    nth
  ]!
  return expr.replaceAll('$__rate_interval', `${WINDOW}s`).replaceAll(/\$\w+/g, '.*')
}

interface Row {
  panel: string
  nth?: number
  /** Labels of the dashboard's series to add up; all of them by default. */
  labels?: Record<string, string>
  page: (series: SeriesView) => number
  /** The share by which a value moves by itself between two scrapes. */
  within?: number
}

const columnsOf = ({ columns }: SeriesView, name: string, labels: Record<string, string>) =>
  columns.filter(
    (column) =>
      column.name === name &&
      Object.entries(labels).every(([label, value]) => column.labels[label] === value),
  )
const total = (series: SeriesView, name: string, labels: Record<string, string> = {}): number =>
  columnsOf(series, name, labels)
    .flatMap(({ values }) => values)
    .reduce<number>((sum, value) => sum + (value ?? 0), 0)
const now = (series: SeriesView, name: string, labels: Record<string, string> = {}): number =>
  columnsOf(series, name, labels).reduce((sum, { values }) => sum + (values.at(-1) ?? 0), 0)

const sides = ['client', 'upstream'] as const

/** Values of this moment. */
const levels: Row[] = [
  { panel: 'Open connections', page: (series) => now(series, 'connections') },
  {
    panel: 'Open by protocol',
    labels: { protocol: 'tcp' },
    page: (series) => now(series, 'connections', { protocol: 'tcp' }),
  },
  { panel: 'Connections held back', page: (series) => now(series, 'heldBack') },
  ...sides.map((side) => ({
    panel: 'Queued bytes',
    labels: { side },
    page: (series: SeriesView) => now(series, 'bufferedBytes', { side }),
  })),
  { panel: 'Queued bytes against the budget', nth: 1, page: (series) => now(series, 'bufferedLimitBytes') },
  { panel: 'Memory', page: (series) => now(series, 'memoryBytes'), within: 0.2 },
  { panel: 'Memory', nth: 1, page: (series) => now(series, 'memoryLimitBytes') },
  {
    panel: 'Memory against the limit',
    page: (series) => now(series, 'memoryBytes') / now(series, 'memoryLimitBytes'),
    within: 0.2,
  },
  { panel: 'Targets by state', page: (series) => now(series, 'upstreams') },
  { panel: 'Waiting for a place', page: (series) => now(series, 'waitingForUpstream') },
  { panel: 'Heads not complete', page: (series) => now(series, 'pending') },
]

/** Values of the whole test, as a rate. Page and dashboard look at different moments. */
const counts: Row[] = [
  { panel: 'Opened and closed', page: (series) => total(series, 'opened') },
  { panel: 'Opened and closed', nth: 1, page: (series) => total(series, 'ended') },
  ...(['eof', 'reset'] as const).map((reason) => ({
    panel: 'Ends by reason',
    labels: { reason, side: 'client' },
    page: (series: SeriesView) => total(series, 'ended', { reason, side: 'client' }),
  })),
  {
    panel: 'Refused by reason',
    labels: { reason: 'too_many' },
    page: (series) => total(series, 'refused', { reason: 'too_many' }),
  },
  ...sides.flatMap((side) => [
    {
      panel: 'Bytes',
      labels: { side },
      page: (series: SeriesView) => total(series, 'receivedBytes', { side }),
    },
    {
      panel: 'Bytes',
      nth: 1,
      labels: { side },
      page: (series: SeriesView) => total(series, 'sentBytes', { side }),
    },
  ]),
]

/** Plots of the page without a panel for the same time, each with the reason. */
const apart = new Map([
  ['loopDelayMs', 'the page has the worst of each 5 s, a dashboard that between two scrapes'],
])

async function traffic(t: Test): Promise<Gate> {
  const [echoing, flood] = [await echo(t), await flooder(t)]
  return startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${echoing.port}", limits: { connections: 30 }`,
    `protocol: tcp, upstream: "127.0.0.1:${flood.port}", deadlines: { write: 5m }`,
  ])
}

/** Connections that stay, that end in two ways, and that are refused: thirty are let on. */
async function load(t: Test, gate: Gate, count: number, stay: number): Promise<void> {
  const ended = gate.lines.length
  const wires = await Promise.all(Array.from({ length: count }, () => connect(t, gate.ports[0]!)))
  for (const wire of wires) {
    await wire.write('x'.repeat(5000))
    await wire.read(5000)
  }
  for (let nth = 0; nth < 20; nth++)
    await connect(t, gate.ports[0]!)
      .then(({ closed }) => closed)
      .catch(() => null)
  for (const [nth, wire] of wires.slice(stay).entries()) {
    if (nth % 2 === 0) wire.end()
    else wire.socket.resetAndDestroy()
  }
  await eventually(() => gate.lines.length === ended + count - stay, { what: 'ends', withinMs: 20_000 })
}

const seriesOf = async (gate: Gate): Promise<SeriesView> =>
  JSON.parse((await get(gate.adminPort, '/series')).body) as SeriesView

test(
  'each number and plot of the page is that of the dashboards for the same time',
  { ...needs('prometheus', CHROMIUM) },
  async (t) => {
    const gate = await traffic(t)
    const watcher = await prometheus(t, [{ workload: 'web', healthPort: gate.healthPort }], 'groups: []')
    const valueOf = async ({ panel, nth = 0, labels = {} }: Row, time: number): Promise<number> =>
      (await watcher.at(queryOf(panel, nth), time))
        .filter(({ metric }) => Object.entries(labels).every(([label, value]) => metric[label] === value))
        .reduce((sum, { value }) => sum + value, 0)
    const scrapes = async (): Promise<number> =>
      (await watcher.at(`count_over_time(up[${WINDOW}s])`, Date.now() / 1000))[0]?.value ?? 0
    await eventually(async () => (await scrapes()) >= 1, { what: 'a scrape', withinMs: 60_000 })
    await connect(t, gate.ports[1]!, { unread: true })
    await heldBack(await eventually(() => [...gate.registry][0]), 'to_client')
    await load(t, gate, 30, 5)
    await load(t, gate, 25, 0)
    // From here on nothing moves: both have the same last values once they have looked.
    const loadedAt = Date.now() / 1000
    const series = await eventually(
      async () => {
        const scraped = (await watcher.at('timestamp(up)', Date.now() / 1000))[0]?.value ?? 0
        const seen = await seriesOf(gate)
        const isSeen = scraped > loadedAt && Date.parse(seen.at.at(-1)!) / 1000 > loadedAt
        return isSeen && (await scrapes()) >= SCRAPES ? seen : null
      },
      { what: 'a look of both', withinMs: 90_000 },
    )
    const time = Date.now() / 1000

    for (const row of levels) {
      const [page, dashboard] = [row.page(series), await valueOf(row, time)]
      const name = `${row.panel} ${JSON.stringify(row.labels ?? {})}: ${page} and ${dashboard}`
      t.ok(Math.abs(page - dashboard) <= (row.within ?? 0) * Math.max(page, dashboard), name)
    }
    for (const row of counts) {
      const [page, dashboard] = [row.page(series), (await valueOf(row, time)) * WINDOW]
      // Prometheus extrapolates between its scrapes, and before the first: the more, the later a busy machine lets it scrape.
      t.ok(
        page > 0 && Math.abs(page - dashboard) <= 0.15 * page + 1,
        `${row.panel} ${JSON.stringify(row.labels ?? {})}: ${page} and ${dashboard}`,
      )
    }

    const { page } = await openTab(await openBrowser(t), gate.adminPort)
    const at = Date.now() / 1000
    for (const [name, panel, format] of [
      ['Open connections', 'Open connections', String],
      ['Held back', 'Connections held back', String],
      ['Buffered', 'Queued bytes', formatBytes],
    ] as const) {
      const level = format(await valueOf({ panel, page: () => 0 }, at))
      const number = page.locator('.number', { hasText: name }).locator('.value')
      await shows(t, number, new RegExp(`^${level.replace('.', '\\.')}$`), name)
    }

    const shown = new Set(series.columns.map(({ name }) => name))
    const compared = new Set(
      [...levels, ...counts].flatMap((row) =>
        [...String(row.page).matchAll(/'(\w+)'/g)].map(([, name]) => name!),
      ),
    )
    t.same(
      [...shown].filter((name) => !compared.has(name) && !apart.has(name)),
      [],
      'no plot is left out',
    )
  },
)
