// The rules of Grafana's dashboard-linter (v0.2.0, docs/index.md); and every query uses only metrics of the
// program.

import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parser } from '@prometheus-io/lezer-promql'
import { test } from 'tap'
import { metrics } from '../../deploy/observability/metrics.ts'

interface Panel {
  type: string
  title?: string
  description?: string
  links?: Array<{ title: string; url: string }>
  datasource?: { uid: string }
  fieldConfig?: { defaults: { unit?: string } }
  targets?: Array<{ expr: string; legendFormat?: string; datasource: { uid: string } }>
}
interface Variable {
  name: string
  type: string
  label?: string
  multi?: boolean
  allValue?: string
  refresh?: number
  query: unknown
}
interface Dashboard {
  uid: string
  title: string
  editable: boolean
  tags: string[]
  schemaVersion: number
  panels: Panel[]
  templating: { list: Variable[] }
  annotations: { list: Array<{ name: string; expr: string }> }
  links: Array<{ type: string; tags: string[]; url?: string }>
}

const folder = join(import.meta.dirname, '../../deploy/grafana')
const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
const dashboards = files.map(
  (name) => [name, JSON.parse(readFileSync(join(folder, name), 'utf8')) as Dashboard] as const,
)
const charts = (dashboard: Dashboard): Panel[] => dashboard.panels.filter(({ type }) => type !== 'row')
const queries = (dashboard: Dashboard): string[] => [
  ...charts(dashboard).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...dashboard.annotations.list.map(({ expr }) => expr).filter((expr) => expr !== undefined),
]

/** Metrics without a panel, each with the reason. */
const shownElsewhere = new Map([
  ['sidegate_buffer_limit_bytes', 'a setting, with which the queue of one connection is compared'],
])

/** As Prometheus would see it once Grafana has filled in its variables. */
function filledIn(expr: string): string {
  return expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$\w+/g, '.*')
}

function parseErrors(expr: string): string[] {
  const found: string[] = []
  parser
    .parse(filledIn(expr))
    .iterate({ enter: (node) => void (node.type.isError && found.push(`${node.from}: ${expr}`)) })
  return found
}

/** The words of an expression that are names of our metrics. */
function names(expr: string): string[] {
  return [...expr.matchAll(/\b(?:sidegate|process|nodejs)_[a-z0-9_]+/g)].map(([name]) => name)
}

test('there are the two dashboards, each with a short fixed uid, not editable, and the data source variables', (t) => {
  t.same(files.sort(), ['sidegate-overview.json', 'sidegate-trouble.json'])
  for (const [, { uid, editable, tags, schemaVersion, templating }] of dashboards) {
    t.match(uid, /^sidegate-[a-z]+$/)
    t.equal(editable, false)
    t.same(tags, ['sidegate'])
    t.ok(schemaVersion >= 36)
    const sources = templating.list.filter(({ type }) => type === 'datasource')
    t.same(
      sources.map(({ name, label, query }) => [name, label, query]),
      [
        ['datasource', 'Data source', 'prometheus'],
        ['logs', 'Logs', 'loki'],
      ],
    )
  }
  t.end()
})

test('each leads to the other, to pages that there are, and to the logs of what it shows', (t) => {
  for (const [file, { links, tags, templating }] of dashboards) {
    const [others, ...urls] = links
    t.match(others, { type: 'dashboards', tags, keepTime: true, includeVars: true }, file)
    t.notOk(
      links.some((link) => 'placement' in link),
      'in sight',
    )
    const logs = urls.pop()?.url ?? ''
    for (const { url = '' } of urls) {
      const [, path = 'no page'] = /\/blob\/main\/([^#]+)/.exec(url) ?? []
      t.ok(existsSync(join(folder, '../..', path)), url)
    }
    const known = [...templating.list.map(({ name }) => name), '__from', '__to']
    const asked = [...logs.matchAll(/\$\{(\w+)/g)].map(([, name]) => name)
    t.same(asked, ['logs', 'namespace', '__from', '__to'], file)
    t.ok(asked.every((name = '') => known.includes(name)))
    const filled = logs.replaceAll(/\$\{[\w:]+\}/g, 'x')
    const panes = new URL(filled, 'http://grafana').searchParams.get('panes') ?? ''
    t.match(JSON.parse(panes), {
      logs: { datasource: 'x', queries: [{ expr: /^\{namespace=~`x`, .*json/ }] },
    })
  }
  t.end()
})

test('job and instance can be chosen, several or all, and are asked for again when the time range changes', (t) => {
  for (const [file, { templating }] of dashboards) {
    for (const name of ['job', 'instance', 'listener']) {
      const variable = templating.list.find((one) => one.name === name)
      t.match(variable, { multi: true, allValue: '.+', refresh: 2 }, `${file} ${name}`)
    }
  }
  t.end()
})

test('every panel has a title, a unit, its data source, and a description that tells what to do', (t) => {
  for (const [file, dashboard] of dashboards) {
    const titles = charts(dashboard).map(({ title }) => title)
    t.equal(new Set(titles).size, titles.length, `${file}: no title twice`)
    for (const { title = '', description = '', datasource, fieldConfig, targets = [] } of charts(dashboard)) {
      t.not(title, '', file)
      t.match(description, /\S\n\n\*\*What to do:\*\* \S.{15,}/, `${file} ${title}`)
      t.equal(datasource?.uid, '${datasource}', `${file} ${title}`)
      t.ok(fieldConfig?.defaults.unit, `${file} ${title}`)
      t.ok(
        targets.length > 0 && targets.every((target) => target.datasource.uid === '${datasource}'),
        `${file} ${title}`,
      )
    }
  }
  t.end()
})

test('panels that an alert is about lead to its runbook', (t) => {
  const rules = readFileSync(join(import.meta.dirname, '../../deploy/monitoring/rules.yaml'), 'utf8')
  const known = new Set([...rules.matchAll(/runbook_url: (\S+)/g)].map(([, url]) => url))
  for (const [file, dashboard] of dashboards) {
    const links = charts(dashboard).flatMap(({ links = [] }) => links)
    t.ok(links.length >= 7, file)
    for (const { url, title } of links) {
      t.ok(known.has(url), `${file} ${url}`)
      t.match(title, /^Runbook: Sidegate/)
    }
  }
  t.end()
})

test('every query is PromQL, follows the variables, and aggregates its counters over $__rate_interval', (t) => {
  for (const [file, dashboard] of dashboards) {
    for (const expr of queries(dashboard)) {
      t.same(parseErrors(expr), [])
      for (const selector of expr.matchAll(/\b(?:sidegate|process|nodejs)_[a-z0-9_]+(\{[^}]*\})?/g)) {
        t.match(selector[1] ?? '', /job=~"\$job", instance=~"\$instance"/, `${file} ${expr}`)
      }
      for (const [name] of expr.matchAll(/\bsidegate_[a-z0-9_]+(_total|_bucket|_count)\b/g)) {
        t.match(
          expr,
          new RegExp(`(rate|increase|changes)\\(${name}\\{[^}]*\\}\\[\\$__rate_interval\\]\\)`),
          `${file} ${expr}`,
        )
      }
    }
  }
  t.end()
})

test('no query asks for a metric that the program does not have, and no metric of the program is shown nowhere', (t) => {
  const asked = new Set(dashboards.flatMap(([, dashboard]) => queries(dashboard).flatMap(names)))
  t.same(
    [...asked].filter((name) => !metrics.has(name)),
    [],
  )
  const ours = [...metrics.keys()].filter(
    (name) => name.startsWith('sidegate_') && !/_(sum|count|bucket)$/.test(name),
  )
  t.same(
    ours.filter((name) => !asked.has(name) && !shownElsewhere.has(name)),
    [],
  )
  t.end()
})

test('dashboards, rules and docs/monitoring.md are up to date', (t) => {
  const { status, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, '../../deploy/observability/generate.ts'), '--check'],
    { encoding: 'utf8' },
  )
  t.equal(stderr, '')
  t.equal(status, 0)
  t.end()
})
