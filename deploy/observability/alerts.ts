// The alerts and the recording rules, as data. Each alert has a runbook of its name in docs/runbooks.

import { selector } from './metrics.ts'
import { levelAlerts, levelRecordings } from './service-level.ts'

export interface Alert {
  name: string
  expr: string
  /** How long it must hold. */
  for: string
  severity: 'critical' | 'warning' | 'info'
  summary: string
  description: string
}

export interface Recording {
  record: string
  expr: string
}

const closed = 'sidegate_connections_closed_total'
const failures = 'sidegate_upstream_connect_failures_total'

export const recordings: readonly Recording[] = [
  ...levelRecordings,
  {
    record: 'namespace_job_reason_side:sidegate_connections_closed:rate5m',
    expr: `sum by (namespace, job, reason, side) (rate(${selector(closed)}[5m]))`,
  },
]

function hanging(count: 'rate' | 'increase'): string {
  return `sum by (namespace, job, listener) (${count}(${selector(closed, { reason: 'response_timeout' })}[10m]))`
}

export const alerts: readonly Alert[] = [
  ...levelAlerts,
  {
    name: 'SidegateConfigRejected',
    expr: `max_over_time(${selector('sidegate_config_last_reload_successful')}[5m]) == 0`,
    for: '10m',
    severity: 'warning',
    summary: 'Sidegate {{ $labels.instance }} refuses its new configuration',
    description:
      'The last reload failed; it runs with the configuration before. GET /config/error of its admin server names the line.',
  },
  {
    name: 'SidegateStallsRising',
    expr: `sum by (namespace, job, side) (rate(${selector(closed, { reason: '~write_timeout|too_slow|slow_consumer' })}[15m])) / on (namespace, job) group_left () (sum by (namespace, job) (rate(${selector(closed)}[15m])) > 0.01) > 0.05`,
    for: '15m',
    severity: 'warning',
    summary:
      '{{ $value | humanizePercentage }} of the connections end because the {{ $labels.side }} side stalls',
    description: 'More than one in twenty ends with write_timeout, too_slow or slow_consumer.',
  },
  {
    name: 'SidegateConnectionsNearLimit',
    expr: `sum by (namespace, job, instance, listener) (${selector('sidegate_connections', { side: 'client' })}) / on (namespace, job, instance, listener) ${selector('sidegate_connections_limit')} > 0.8`,
    for: '10m',
    severity: 'warning',
    summary:
      'Listener {{ $labels.listener }} of {{ $labels.instance }} is {{ $value | humanizePercentage }} full',
    description: 'At limits.connections newcomers are refused with too_many.',
  },
  {
    name: 'SidegateClientsRefused',
    // Behind an ingress a client is known by its request: the refusal is an answer, and no refused connection.
    expr: `sum by (namespace, job, listener, reason) (rate(${selector('sidegate_connections_rejected_total', { reason: '~too_many|rate_limited|overloaded' })}[5m])) > 0.1 or on (namespace, job, listener) label_replace(sum by (namespace, job, listener, limit) (rate(${selector('sidegate_rate_limited_total', { limit: '~connectionsPerClient|newConnections', action: 'close' })}[5m])) > 0.1, "reason", "limits.$1", "limit", "(.+)")`,
    for: '5m',
    severity: 'warning',
    summary: 'Listener {{ $labels.listener }} refuses clients with {{ $labels.reason }}',
    description: '{{ $value | humanize }} connections or requests a second are refused.',
  },
  {
    name: 'SidegateBuffersNearBudget',
    expr: `sum by (namespace, job, instance) (${selector('sidegate_buffered_bytes')}) / on (namespace, job, instance) ${selector('sidegate_memory_buffered_limit_bytes')} > 0.8`,
    for: '5m',
    severity: 'warning',
    summary:
      'Queued bytes of {{ $labels.instance }} are at {{ $value | humanizePercentage }} of memory.buffered',
    description: 'At the budget the largest stalled queues are ended with overloaded.',
  },
  {
    name: 'SidegateOverloaded',
    expr: `${selector('sidegate_overload_pressure')} >= 0.95`,
    for: '2m',
    severity: 'critical',
    summary: 'Sidegate {{ $labels.instance }} is overloaded',
    description:
      'Memory is at {{ $value | humanizePercentage }} of its limit: new work is refused, stalled queues are shed.',
  },
  {
    name: 'SidegateResponseTimeouts',
    expr: `${hanging('rate')} / (sum by (namespace, job, listener) (rate(${selector('sidegate_outcomes_total')}[10m])) > 0) > 0.05 and ${hanging('increase')} >= 10`,
    for: '5m',
    severity: 'warning',
    summary: 'The service behind {{ $labels.listener }} of {{ $labels.namespace }}/{{ $labels.job }} hangs',
    description:
      '{{ $value | humanizePercentage }} of what it is asked gets no answer within deadlines.response.',
  },
  {
    name: 'SidegateNoUpstream',
    expr: `sum by (namespace, job, instance, pod, listener) (increase(${selector(failures, { reason: 'no_upstream' })}[5m])) >= 3`,
    for: '2m',
    severity: 'warning',
    summary: 'Listener {{ $labels.listener }} of {{ $labels.instance }} has no upstream to send clients to',
    description: 'All addresses are unhealthy, none is known, or all are full; clients get 503 or RST.',
  },
  {
    name: 'SidegateUpstreamUnhealthy',
    expr: `avg_over_time(${selector('sidegate_upstream_targets', { state: 'unhealthy' })}[10m]) >= 0.3`,
    for: '10m',
    severity: 'warning',
    summary: 'Upstream addresses of {{ $labels.listener }} at {{ $labels.instance }} are unhealthy',
    description:
      '{{ $value | humanize }} of them on average of ten minutes, whether down or up and down in turn.',
  },
  {
    name: 'SidegateForcedDrains',
    expr: `sum by (namespace, job) (increase(${selector(closed, { reason: 'drain_timeout' })}[15m])) > 0`,
    for: '0m',
    severity: 'warning',
    summary: 'A drain of {{ $labels.job }} ended with resets',
    description: '{{ $value | humanize }} connections were still there at drain.timeout and were reset.',
  },
  {
    name: 'SidegateDrainCut',
    expr: `sum by (namespace, job) (increase(${selector('sidegate_drain_cut_total')}[15m])) > 0`,
    for: '0m',
    severity: 'warning',
    summary: 'A drain of {{ $labels.job }} cut answers off',
    description: '{{ $value | humanize }} connections were ended while they were owed bytes or an answer.',
  },
  {
    name: 'SidegateSharedDown',
    expr: `max_over_time(${selector('sidegate_shared_up')}[2m]) == 0`,
    for: '3m',
    severity: 'warning',
    summary: 'Sidegate {{ $labels.instance }} has no Redis for the limits of its fleet',
    description:
      'Limits with scope: fleet are kept as shared.redis.onUnavailable says: by default each gate enforces its share. No connection ends because of it.',
  },
  {
    name: 'SidegateCertificateExpiring',
    expr: `min by (namespace, job, name) (${selector('sidegate_tls_certificate_expiry_timestamp_seconds')}) - time() < 14 * 86400`,
    for: '1h',
    severity: 'warning',
    summary: 'Certificate {{ $labels.name }} expires in {{ $value | humanizeDuration }}',
    description: 'It was not renewed, or the renewed files did not reach the pod.',
  },
  {
    name: 'SidegateEventLoopSlow',
    expr: `${selector('nodejs_eventloop_lag_p99_seconds')} > 0.25 and on (namespace, job, instance) ${selector('sidegate_build_info')}`,
    for: '10m',
    severity: 'warning',
    summary: 'The event loop of {{ $labels.instance }} is {{ $value | humanizeDuration }} late',
    description: 'Everything that passes this gate is late by that.',
  },
  {
    name: 'SidegateInternalErrors',
    expr: `sum by (namespace, job, instance) (increase(${selector(closed, { reason: 'internal_error' })}[15m])) > 0`,
    for: '0m',
    severity: 'warning',
    summary: 'Sidegate {{ $labels.instance }} met a bug of its own',
    description:
      'A connection ended with internal_error; the others go on. The log line names the invariant.',
  },
  {
    name: 'SidegateWorkerEnded',
    expr: `increase(${selector('sidegate_workers_ended_total')}[15m]) > 0`,
    for: '0m',
    severity: 'warning',
    summary: 'A worker of Sidegate {{ $labels.instance }} ended',
    description:
      'Its connections ended with it; the others go on, and another one takes its place. The log line `worker ended` says why.',
  },
  {
    name: 'SidegateTargetDown',
    expr: `up{container="sidegate"} == 0 or up == 0 and on (namespace, job, instance) last_over_time(${selector('sidegate_build_info')}[1d]) == 1`,
    for: '5m',
    severity: 'critical',
    summary: 'Sidegate {{ $labels.instance }} cannot be scraped',
    description: 'Its health port does not answer; the traffic of its pod may be down as well.',
  },
]
