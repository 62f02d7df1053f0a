// From a specification to Grafana's JSON (classic model, which file provisioning takes), with the shared
// parts of all dashboards: variables, annotations, tags. Follows the rules of Grafana's dashboard-linter,
// which test/deploy/dashboards.test.ts checks.

import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog'
import * as common from '@grafana/grafana-foundation-sdk/common'
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import { PanelBuilder as HeatmapBuilder } from '@grafana/grafana-foundation-sdk/heatmap'
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus'
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat'
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table'
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries'
import { COMPLAINTS, RUNBOOKS, TROUBLESHOOTING } from './links.ts'
import { rate, selector, shown } from './metrics.ts'
import type { DashboardSpec, Panel, Query } from './panel.ts'

const datasource = { type: 'prometheus', uid: '${datasource}' }
const HEIGHT = 8
const COLUMNS = 24

export function buildDashboard(spec: DashboardSpec): dashboard.Dashboard {
  const builder = new dashboard.DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.description)
    .tags(['sidegate'])
    .readonly()
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .time({ from: 'now-3h', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .variables(variables())
    .annotations(annotations())
    .links(links().map(inSight))
  let y = 0
  for (const row of spec.rows) {
    builder.withRow(new dashboard.RowBuilder(row.title).gridPos({ x: 0, y, w: COLUMNS, h: 1 }))
    y = placed(builder, row.panels, y + 1)
  }
  return builder.build()
}

/** Panels from left to right, in lines as high as their highest; returns where the next row begins. */
function placed(builder: dashboard.DashboardBuilder, panels: readonly Panel[], top: number): number {
  let [x, y, lineHeight] = [0, top, 0]
  for (const panel of panels) {
    const { width, height = HEIGHT } = panel
    if (x + width > COLUMNS) [x, y, lineHeight] = [0, y + lineHeight, 0]
    builder.withPanel(buildPanel(panel, { x, y, w: width, h: height }))
    x += width
    lineHeight = Math.max(lineHeight, height)
  }
  return y + lineHeight
}

function buildPanel(panel: Panel, gridPos: dashboard.GridPos): Builder<dashboard.Panel> {
  const { title, shows, act, unit, queries } = panel
  const builder = chart(panel)
    .title(title)
    .description(`${shows}\n\n**What to do:** ${act}`)
    .datasource(datasource)
    .unit(unit)
    .gridPos(gridPos)
    .thresholds(thresholds(panel))
  if (panel.runbook !== undefined)
    builder.links([
      to(
        `Runbook: ${panel.runbook}`,
        `${RUNBOOKS}/${panel.runbook}.md`,
        'What the alert means and what to do',
      ),
    ])
  if (panel.min !== undefined) builder.min(panel.min)
  if (panel.max !== undefined) builder.max(panel.max)
  queries.forEach((query, index) => builder.withTarget(target(query, index, panel)))
  return builder
}

type Chart = TimeseriesBuilder | StatBuilder | HeatmapBuilder | TableBuilder

function chart({ kind }: Panel): TimeseriesBuilder {
  // The builders share their methods for the common parts of panels, but no type.
  const builder: Chart = {
    lines: () => lines(),
    stacked: () =>
      lines().stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal)).fillOpacity(40),
    number: () =>
      new StatBuilder().colorMode(common.BigValueColorMode.Value).graphMode(common.BigValueGraphMode.Area),
    heatmap: () => new HeatmapBuilder(),
    table: () => new TableBuilder(),
  }[kind]()
  return builder as TimeseriesBuilder
}

function lines(): TimeseriesBuilder {
  return new TimeseriesBuilder()
    .lineWidth(1)
    .fillOpacity(10)
    .showPoints(common.VisibilityMode.Never)
    .legend(
      new common.VizLegendOptionsBuilder()
        .displayMode(common.LegendDisplayMode.List)
        .placement(common.LegendPlacement.Bottom)
        .showLegend(true),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder()
        .mode(common.TooltipDisplayMode.Multi)
        .sort(common.SortOrder.Descending),
    )
}

function target({ expr, legend }: Query, index: number, { kind }: Panel): Builder<Dataquery> {
  const query = new DataqueryBuilder()
    .datasource(datasource)
    .expr(expr)
    .legendFormat(legend)
    .refId(String.fromCharCode(65 + index))
  if (kind === 'heatmap') return query.format(PromQueryFormat.Heatmap)
  return kind === 'table' ? query.format(PromQueryFormat.Table).instant() : query.range()
}

function thresholds({ warnAt, badAt }: Panel): dashboard.ThresholdsConfigBuilder {
  const steps: Array<{ value: number | null; color: string }> = [{ value: null, color: 'green' }]
  if (warnAt !== undefined) steps.push({ value: warnAt, color: 'orange' })
  if (badAt !== undefined) steps.push({ value: badAt, color: 'red' })
  return new dashboard.ThresholdsConfigBuilder().mode(dashboard.ThresholdsMode.Absolute).steps(steps)
}

function variables(): Array<Builder<dashboard.VariableModel>> {
  const build = selector('sidegate_build_info')
  return [
    new dashboard.DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'),
    // For a link only: nothing here needs Loki.
    new dashboard.DatasourceVariableBuilder('logs').label('Logs').type('loki'),
    labelVariable('namespace', 'Namespace', build).allValue('.*'),
    labelVariable('job', 'Job', `${build}{namespace=~"$namespace"}`),
    labelVariable('instance', 'Instance', `${build}{namespace=~"$namespace", job=~"$job"}`),
    labelVariable(
      'listener',
      'Listener',
      `${selector('sidegate_connections')}{namespace=~"$namespace", job=~"$job"}`,
    ),
  ]
}

/** Ends that a peer or the gate caused out of turn, of the selected workloads and times. */
const LOG_QUERY =
  '{namespace=~`${namespace:pipe}`, container="sidegate"} | json | msg = `connection closed` | close != `eof`'

/**
 * Explore takes its state from the address; Grafana's variables must stay as they are, so only the rest is
 * encoded.
 */
function logsUrl(): string {
  const pane = {
    datasource: '${logs}',
    queries: [{ refId: 'A', expr: LOG_QUERY }],
    range: { from: '${__from}', to: '${__to}' },
  }
  const encoded = encodeURIComponent(JSON.stringify({ logs: pane })).replaceAll(
    /%24%7B([\w:%]+?)%7D/g,
    (_, name: string) => `\${${decodeURIComponent(name)}}`,
  )
  return `/explore?schemaVersion=1&panes=${encoded}`
}

/** The SDK puts links into a menu; an operator on call should see them. */
function inSight(builder: Builder<dashboard.DashboardLink>): Builder<dashboard.DashboardLink> {
  const { placement: _, ...link } = builder.build()
  return { build: () => link }
}

function to(title: string, url: string, tooltip: string): dashboard.DashboardLinkBuilder {
  return new dashboard.DashboardLinkBuilder(title)
    .type(dashboard.DashboardLinkType.Link)
    .url(url)
    .tooltip(tooltip)
    .targetBlank(true)
}

function links(): Array<Builder<dashboard.DashboardLink>> {
  const { Dashboards } = dashboard.DashboardLinkType
  return [
    new dashboard.DashboardLinkBuilder('Sidegate')
      .type(Dashboards)
      .tags(['sidegate'])
      .keepTime(true)
      .includeVars(true),
    to('Runbooks', RUNBOOKS, 'What each alert means and what to do').icon('doc'),
    to('Troubleshooting', TROUBLESHOOTING, 'From symptom to cause').icon('question'),
    to('Complaints', COMPLAINTS, 'From a complaint to the cause in five minutes').icon('question'),
    to('Logs', logsUrl(), 'Ends out of turn, in Loki').icon('bolt'),
  ]
}

function labelVariable(name: string, label: string, series: string): dashboard.QueryVariableBuilder {
  return new dashboard.QueryVariableBuilder(name)
    .label(label)
    .datasource(datasource)
    .query({ query: `label_values(${series}, ${name})`, refId: name })
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.+')
    .current({ text: 'All', value: '$__all' })
}

function annotations(): Array<Builder<dashboard.AnnotationQuery>> {
  const mark = (name: string, color: string, expr: string): dashboard.AnnotationQueryBuilder =>
    new dashboard.AnnotationQueryBuilder()
      .name(name)
      .datasource(datasource)
      .enable(true)
      .iconColor(color)
      .expr(expr)
      .titleFormat(name)
      .textFormat('{{instance}}')
      .step('30s')
  return [
    mark(
      'Configuration reloaded',
      'blue',
      `changes(${shown('sidegate_config_last_reload_success_timestamp_seconds')}[$__rate_interval]) > 0`,
    ),
    mark(
      'Configuration rejected',
      'red',
      `${rate('sidegate_config_reloads_total', { result: 'failure' })} > 0`,
    ),
    mark('Draining', 'orange', `${shown('sidegate_draining')} == 1`),
    mark('Overloaded', 'red', `${shown('sidegate_overload_pressure')} >= 0.95`),
  ]
}
