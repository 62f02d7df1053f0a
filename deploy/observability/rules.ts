// Alerts and recordings as Prometheus' rule file, and the same as a PrometheusRule of the Prometheus operator.

import { stringify } from 'yaml'
import { alerts, recordings } from './alerts.ts'

const RUNBOOKS = 'https://github.com/sidegate/sidegate/blob/main/docs/runbooks'

export const notice = '# Written by deploy/observability/generate.ts; change the source, not this file.\n'

/** The groups of a rule file. */
export function ruleGroups() {
  return [
    { name: 'sidegate.records', rules: recordings },
    {
      name: 'sidegate.alerts',
      rules: alerts.map(({ name, expr, for: duration, severity, summary, description }) => ({
        alert: name,
        expr,
        ...(duration === '0m' ? {} : { for: duration }),
        labels: { severity },
        annotations: { summary, description, runbook_url: `${RUNBOOKS}/${name}.md` },
      })),
    },
  ]
}

function yaml(value: unknown): string {
  return notice + stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })
}

export function rulesFile(): string {
  return yaml({ groups: ruleGroups() })
}

export function prometheusRule(): string {
  return yaml({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'sidegate', labels: { 'app.kubernetes.io/name': 'sidegate' } },
    spec: { groups: ruleGroups() },
  })
}

/** Pods, not Services: a sidecar has none of its own. The port by number, because its name belongs to an init container. */
export function podMonitor(): string {
  return yaml({
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PodMonitor',
    metadata: { name: 'sidegate', labels: { 'app.kubernetes.io/name': 'sidegate' } },
    spec: {
      selector: { matchLabels: { 'sidegate.io/sidecar': 'enabled' } },
      podMetricsEndpoints: [
        {
          portNumber: 17021,
          path: '/metrics',
          interval: '30s',
          relabelings: [{ targetLabel: 'job', replacement: 'sidegate' }],
        },
      ],
    },
  })
}
