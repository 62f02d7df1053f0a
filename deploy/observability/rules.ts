// Alerts and recordings as Prometheus' rule file, and the same as a PrometheusRule of the Prometheus
// operator.

import { stringify } from 'yaml'
import { alerts, recordings } from './alerts.ts'
import { RUNBOOKS } from './links.ts'

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

const kind = '__meta_kubernetes_pod_controller_kind'
const owner = '__meta_kubernetes_pod_controller_name'

/**
 * A job for each workload, so that alerts and dashboards distinguish them: the owner of the pod, without the
 * suffix that a Deployment (a CronJob) adds to the name of its ReplicaSet (Job). The chart has the same
 * rules.
 */
export const jobRelabelings = [
  { sourceLabels: [owner], regex: '(.+)', targetLabel: 'job' },
  { sourceLabels: [kind, owner], regex: 'ReplicaSet;(.+)-[a-z0-9]+', targetLabel: 'job' },
  { sourceLabels: [kind, owner], regex: 'Job;(.+)-[0-9]{8,}', targetLabel: 'job' },
] as const

/**
 * Pods, not Services: a sidecar has none of its own. The port by number, because its name belongs to an init
 * container.
 */
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
          relabelings: jobRelabelings,
        },
      ],
    },
  })
}
