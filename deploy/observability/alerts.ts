// The alerts and the recording rules, as data. Each alert has a runbook of its name in docs/runbooks.

import { selector } from './metrics.ts'

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
const dials = 'sidegate_upstream_connect_duration_seconds_count'
/** One dial of a thousand may fail. */
const BUDGET = 0.001

const windows = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const
const ratioName = (window: string): string => `namespace_job:sidegate_upstream_connect_failures:ratio_rate${window}`

function failureRatio(window: string): string {
  const failed = `sum by (namespace, job) (rate(${selector(failures)}[${window}]))`
  return `${failed} / (${failed} + sum by (namespace, job) (rate(${selector(dials)}[${window}])) > 0)`
}

export const recordings: readonly Recording[] = [
  ...windows.map((window) => ({ record: ratioName(window), expr: failureRatio(window) })),
  { record: 'namespace_job_reason_side:sidegate_connections_closed:rate5m', expr: `sum by (namespace, job, reason, side) (rate(${selector(closed)}[5m]))` },
]

/** Long and short window and how many times the budget burns: the multi-window alerts of the SRE workbook. */
function burn(long: string, short: string, factor: number): string {
  const limit = Number((factor * BUDGET).toFixed(6))
  return `(${ratioName(long)} > ${limit} and ${ratioName(short)} > ${limit})`
}

export const alerts: readonly Alert[] = [
  {
    name: 'SidegateConfigRejected',
    expr: `max_over_time(${selector('sidegate_config_last_reload_successful')}[5m]) == 0`,
    for: '10m',
    severity: 'warning',
    summary: 'Sidegate {{ $labels.instance }} refuses its new configuration',
    description: 'The last reload failed; it runs with the configuration before. GET /config/error of its admin server names the line.',
  },
  {
    name: 'SidegateStallsRising',
    expr: `sum by (namespace, job, side) (rate(${selector(closed, { reason: '~write_timeout|too_slow|slow_consumer' })}[15m])) / on (namespace, job) group_left () (sum by (namespace, job) (rate(${selector(closed)}[15m])) > 0.01) > 0.05`,
    for: '15m',
    severity: 'warning',
    summary: '{{ $value | humanizePercentage }} of the connections end because the {{ $labels.side }} side stalls',
    description: 'More than one in twenty ends with write_timeout, too_slow or slow_consumer.',
  },
  {
    name: 'SidegateConnectionsNearLimit',
    expr: `sum by (namespace, job, instance, listener) (${selector('sidegate_connections', { side: 'client' })}) / on (namespace, job, instance, listener) ${selector('sidegate_connections_limit')} > 0.8`,
    for: '10m',
    severity: 'warning',
    summary: 'Listener {{ $labels.listener }} of {{ $labels.instance }} is {{ $value | humanizePercentage }} full',
    description: 'At limits.connections newcomers are refused with too_many.',
  },
  {
    name: 'SidegateClientsRefused',
    expr: `sum by (namespace, job, listener, reason) (rate(${selector('sidegate_connections_rejected_total', { reason: '~too_many|rate_limited|overloaded' })}[5m])) > 0.1`,
    for: '5m',
    severity: 'warning',
    summary: 'Listener {{ $labels.listener }} refuses connections with {{ $labels.reason }}',
    description: '{{ $value | humanize }} connections a second are refused.',
  },
  {
    name: 'SidegateBuffersNearBudget',
    expr: `sum by (namespace, job, instance) (${selector('sidegate_buffered_bytes')}) / on (namespace, job, instance) ${selector('sidegate_memory_buffered_limit_bytes')} > 0.8`,
    for: '5m',
    severity: 'warning',
    summary: 'Queued bytes of {{ $labels.instance }} are at {{ $value | humanizePercentage }} of memory.buffered',
    description: 'At the budget the largest stalled queues are ended with overloaded.',
  },
  {
    name: 'SidegateOverloaded',
    expr: `${selector('sidegate_overload_pressure')} >= 0.95`,
    for: '2m',
    severity: 'critical',
    summary: 'Sidegate {{ $labels.instance }} is overloaded',
    description: 'Memory is at {{ $value | humanizePercentage }} of its limit: new work is refused, stalled queues are shed.',
  },
  {
    name: 'SidegateUpstreamErrorBudgetBurn',
    expr: `${burn('1h', '5m', 14.4)} or ${burn('6h', '30m', 6)}`,
    for: '2m',
    severity: 'critical',
    summary: 'The upstream of {{ $labels.job }} cannot be reached',
    description: '{{ $value | humanizePercentage }} of the dials fail; the budget of 0.1 % is gone within days.',
  },
  {
    name: 'SidegateUpstreamErrorBudgetSlowBurn',
    expr: `${burn('1d', '2h', 3)} or ${burn('3d', '6h', 1)}`,
    for: '1h',
    severity: 'warning',
    summary: 'Dials of the upstream of {{ $labels.job }} fail now and then',
    description: '{{ $value | humanizePercentage }} of the dials fail, more than the budget of 0.1 %.',
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
    description: 'A connection ended with internal_error; the others go on. The log line names the invariant.',
  },
  {
    name: 'SidegateTargetDown',
    expr: 'up{job=~".*sidegate.*"} == 0',
    for: '5m',
    severity: 'critical',
    summary: 'Sidegate {{ $labels.instance }} cannot be scraped',
    description: 'Its health port does not answer; the traffic of its pod may be down as well.',
  },
]
