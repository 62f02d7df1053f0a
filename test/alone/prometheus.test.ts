// The dashboards and alerts with a real Prometheus: every metric that they query exists, and moves when it
// should.

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import root, { test } from 'tap'
import type { Test } from 'tap'
import { alerts } from '../../deploy/observability/alerts.ts'
import { eventually } from '../support/eventually.ts'
import { needs } from '../support/tools.ts'
import { monitoredGates } from '../system/monitored-gates.ts'
import { hastened, prometheus } from '../system/prometheus-server.ts'
import type { Prometheus } from '../system/prometheus-server.ts'

const deploy = join(import.meta.dirname, '../../deploy')
root.setTimeout(120_000)

/** Panels whose queries stay at 0 here, each with the reason. */
const still = new Map([
  ['Log lines dropped', 'needs a standard output that is not read: faults-stdout.test.ts'],
  ['Looks into the kernel lost', 'needs a process without descriptors: endpoint/kernel-queue.test.ts'],
  ['No local port', 'needs a namespace with a handful of ports'],
  [
    'Strangers at the admin server',
    'needs a gate with admin.tokenFile: gate-admin-token-and-unix-socket.test.ts',
  ],
])

/** Alerts of features that these gates do not use, and the tests beside rules_test.yaml that cause them. */
const unused = new Map([
  ['SidegateSharedDown', 'needs shared limits and a Redis that dies: fleet-faults.test.ts'],
  ['SidegateWorkerEnded', 'needs worker threads, one of which ends: workers-that-end.test.ts'],
])
/** The series of shared limits and of worker threads, which these gates do not use. */
const absent = /\bsidegate_(shared|worker|workers|grpc)_/

/** Fires where the machine of the test is short of CPU, and only there; rules_test.yaml shows it firing. */
const BY_CHANCE = 'SidegateEventLoopSlow'
/** Needs a bug. */
const NEVER = 'SidegateInternalErrors'

interface Query {
  title: string
  expr: string
}

function dashboardQueries(): Query[] {
  return readdirSync(join(deploy, 'grafana')).flatMap((file) => {
    const dashboard = JSON.parse(readFileSync(join(deploy, 'grafana', file), 'utf8')) as {
      panels: Array<{ title: string; targets?: Array<{ expr: string }> }>
      annotations: { list: Array<{ name: string; expr?: string }> }
    }
    const panels = dashboard.panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({ title, expr })),
    )
    return [
      ...panels,
      ...dashboard.annotations.list.flatMap(({ name, expr }) =>
        expr === undefined ? [] : [{ title: name, expr }],
      ),
    ]
  })
}

/** As Grafana asks it. */
function filledIn(expr: string): string {
  return expr.replaceAll('$__rate_interval', '5s').replaceAll(/\$\w+/g, '.*')
}

/** The selectors of an expression. */
function selectors(expr: string): string[] {
  return [
    ...new Set(expr.match(/\b(?:(?:sidegate|nodejs|namespace)_\w+(?::\w+)*|up)(?![\w(])(?:\{[^}]*\})?/g)),
  ].filter((one) => one !== 'namespace_job')
}

async function endsByReason(
  t: Test,
  server: Prometheus,
  queries: Query[],
  misbehaviour: Awaited<ReturnType<typeof monitoredGates>>['misbehaviour'],
): Promise<void> {
  const find = (wanted: string): string => filledIn(queries.find(({ title }) => title === wanted)?.expr ?? '')
  const ends = await server.history(find('Ends by reason'))
  const refusals = await server.history(find('Refused by reason'))
  for (const {
    does,
    expected: { reason, side },
  } of misbehaviour) {
    const series =
      side === '-'
        ? refusals.find(({ metric }) => metric['reason'] === reason)
        : ends.find(({ metric }) => metric['reason'] === reason && metric['side'] === side)
    t.ok(
      series?.values.some((value) => value > 0),
      `a peer that ${does} shows as ${reason} (${side})`,
    )
  }
}

test(
  'before a real Prometheus every panel has data, every misbehaviour has its line, and the alerts fire',
  needs('prometheus', 'openssl'),
  async (t) => {
    const gates = await monitoredGates(t)
    // The last one is a gate that does not exist.
    const server = await prometheus(
      t,
      [...gates.pods, { workload: 'gone', healthPort: 1 }],
      hastened(readFileSync(join(deploy, 'monitoring/rules.yaml'), 'utf8')),
    )
    await eventually(
      async () =>
        (await server.history('count(count_over_time(sidegate_build_info[10s]) >= 2)')).some(
          ({ values }) => values.at(-1) === gates.pods.length,
        ),
      { what: 'two scrapes of each gate', withinMs: 20_000 },
    )
    await gates.load()
    await gates.farewell()
    const queries = dashboardQueries()
    const firing = async (): Promise<string[]> =>
      [
        ...new Set(
          (await server.history('ALERTS{alertstate="firing"}')).map(
            ({ metric }) => metric['alertname'] ?? '',
          ),
        ),
      ]
        .filter((name) => name !== BY_CHANCE)
        .sort()
    const expected = alerts
      .map(({ name }) => name)
      .filter((name) => name !== BY_CHANCE && name !== NEVER && !unused.has(name))
      .sort()
    // The last scrape and evaluation come up to a few seconds after the drain.
    await eventually(async () => (await firing()).length >= expected.length, {
      what: 'the alerts',
      withinMs: 15_000,
    }).catch(() => {})
    t.same(await firing(), expected)

    t.ok(queries.length > 60)
    for (const { title, expr } of queries.filter((query) => !absent.test(query.expr))) {
      const values = (await server.history(filledIn(expr))).flatMap((series) => series.values)
      t.ok(values.length > 0, `${title} has data: ${expr}`)
      if (!still.has(title))
        t.ok(
          values.some((value) => value !== 0),
          `${title} moves: ${expr}`,
        )
    }
    for (const { name, expr } of alerts.filter((alert) => !unused.has(alert.name))) {
      const asked = selectors(expr)
      t.ok(asked.length > 0, name)
      for (const selector of asked)
        t.ok(
          (await server.history(selector.replaceAll(/\[\w+\]/g, ''))).length > 0,
          `${name} has data: ${selector}`,
        )
    }
    await endsByReason(t, server, queries, gates.misbehaviour)
  },
)
