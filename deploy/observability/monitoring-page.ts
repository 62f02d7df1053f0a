// docs/monitoring.md: its tables come from the same lists as the rules, the dashboards and the program.

import { readFileSync } from 'node:fs'
import { alerts } from './alerts.ts'
import { families } from './metrics.ts'
import { overview } from './overview.ts'
import type { DashboardSpec } from './panel.ts'
import { trouble } from './trouble.ts'

export function monitoringPage(): string {
  return `<!-- Written by deploy/observability/generate.ts; change the source, not this file. -->

# Monitoring

\`GET /metrics\` of the health server (\`:17021\`) has all numbers in Prometheus' text format. Labels are fixed words and the names
of listeners, never an address, a path or a header: those are in the log and at the [admin server](admin-api.md).

## Dashboards

In Grafana: Dashboards, New, Import, and a file of \`deploy/grafana/\`; then choose your Prometheus at *Data source*. Or let Grafana read the
folder (file provisioning). The dashboards use the labels \`namespace\`, \`job\` and \`instance\`, as the Prometheus operator sets them; a
Prometheus without \`namespace\` works too, with *All*.

${[overview, trouble].map(dashboardText).join('\n')}

The blue, orange and red lines on every panel are reloads, refused configurations, drains and overload. The description of each panel has
the remedy.

## Prometheus

- \`deploy/monitoring/rules.yaml\`: alerts and recordings, for \`rule_files\`.
- \`deploy/monitoring/prometheusrule.yaml\`, \`podmonitor.yaml\`: the same, and the scrape, for the Prometheus operator.

Test a change of the rules with \`promtool test rules deploy/monitoring/rules_test.yaml\`.

A workload is a \`namespace\` and a \`job\`. The PodMonitors set \`job\` to the name of the pod's owner (a Deployment, a StatefulSet). Do the same in a
Prometheus without the operator, or all gates count as one workload.

## The service level

The objective is 99.9 % good outcomes: each plain HTTP request, tcp connection and WebSocket counts once, at its end, in
\`sidegate_outcomes_total\`. \`bad\` is a 5xx answer, the service's own or the gate's, and an end that the service or the gate caused out of turn
(\`response_timeout\`, \`reset\`, \`no_upstream\`, \`overloaded\` and the like, 1011). Ends that a client caused, that an operator ordered, or of an idle connection are
\`good\`; connections that a drain cuts have alerts of their own. Two alerts watch how fast the budget burns, over two windows each and from ten failures on; a third
names a single pod that fails most of its traffic. Group pages by \`namespace\` and \`job\`.

## Alerts

${alertTable()}

## Metrics

${metricTable()}
`
}

function dashboardText({ title, file, description, rows }: DashboardSpec): string {
  const titles = rows.map((row) => row.title.toLowerCase()).join('; ')
  return `- **${title}** (\`${file}\`): ${description} Rows: ${titles}${titles.endsWith('?') ? '' : '.'}`
}

function line(...cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

function alertTable(): string {
  const lines = alerts.map(({ name, severity, for: held }) =>
    line(`[${name}](runbooks/${name}.md)`, severity, held === '0m' ? 'at once' : held, meaning(name)),
  )
  return [line('alert', 'severity', 'after', 'meaning'), line('---', '---', '---', '---'), ...lines].join(
    '\n',
  )
}

/** The first sentence of its runbook. */
function meaning(name: string): string {
  const runbook = readFileSync(new URL(`../../docs/runbooks/${name}.md`, import.meta.url), 'utf8')
  const sentence = /^## Meaning\n\n(.+?[.:])(?: |\n)/m.exec(runbook)?.[1]
  if (sentence === undefined) throw new Error(`the runbook of ${name} does not say what it means`)
  return sentence.replace(/:$/, '.')
}

function metricTable(): string {
  const lines = families.map(({ name, type, labels, help }) =>
    line(`\`${name}\``, type, labels.map((label) => `\`${label}\``).join(' '), help),
  )
  return [line('metric', 'type', 'labels', 'meaning'), line('---', '---', '---', '---'), ...lines].join('\n')
}
