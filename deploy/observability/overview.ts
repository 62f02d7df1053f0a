// The dashboard to begin with: the traffic of the gate, the ends of connections with their reasons, and the
// health of the gate itself.

import { quantile, rate, shown, sumRate } from './metrics.ts'
import type { DashboardSpec, Row } from './panel.ts'
import { levelRow } from './service-level.ts'

const client = { side: 'client' }

const now: Row = {
  title: 'Now',
  panels: [
    {
      title: 'Open connections',
      kind: 'number',
      unit: 'short',
      width: 4,
      height: 4,
      shows: 'Client connections that are open.',
      act: 'Nothing by itself. Compare it with the limit beside it and with the same hour of yesterday.',
      queries: [{ expr: `sum(${shown('sidegate_connections', client)})`, legend: 'open' }],
    },
    {
      title: 'Share of the limit',
      runbook: 'SidegateConnectionsNearLimit',
      kind: 'number',
      unit: 'percentunit',
      width: 4,
      height: 4,
      warnAt: 0.8,
      badAt: 0.95,
      min: 0,
      shows: 'Of the listener that is fullest: open connections over `limits.connections`.',
      act: 'Over 80 %: look at the ends by reason for connections that do not end, then raise the limit (and the descriptor limit) or add pods.',
      queries: [
        {
          expr: `max(sum by (namespace, job, instance, listener) (${shown('sidegate_connections', client)}) / on (namespace, job, instance, listener) ${shown('sidegate_connections_limit')})`,
          legend: 'fullest',
        },
      ],
    },
    {
      title: 'Refused',
      runbook: 'SidegateClientsRefused',
      kind: 'number',
      unit: 'cps',
      width: 4,
      height: 4,
      warnAt: 0.1,
      badAt: 10,
      shows: 'Connections a second that no gate let in.',
      act: 'Look at the refusals by reason below: a limit that is too low, or a client that should be refused.',
      queries: [{ expr: sumRate('sidegate_connections_rejected_total'), legend: 'refused' }],
    },
    {
      title: 'Overload pressure',
      runbook: 'SidegateOverloaded',
      kind: 'number',
      unit: 'percentunit',
      width: 4,
      height: 4,
      warnAt: 0.85,
      badAt: 0.95,
      min: 0,
      shows:
        'The larger of memory over its limit and queued bytes over their budget. At `memory.shedAt` idle deadlines shrink, at `memory.refuseAt` new work is refused.',
      act: 'Raise the memory limit, lower `buffers.high`, or find the stalled readers on the dashboard *Connections in trouble*.',
      queries: [{ expr: `max(${shown('sidegate_overload_pressure')})`, legend: 'pressure' }],
    },
    {
      title: 'Draining',
      kind: 'number',
      unit: 'short',
      width: 4,
      height: 4,
      warnAt: 1,
      shows: 'Gates that are being emptied.',
      act: 'Expected in a roll-out. One that stays: `kubectl describe` its pod, and see `drain.timeout`.',
      queries: [{ expr: `sum(${shown('sidegate_draining')})`, legend: 'draining' }],
    },
    {
      title: 'Configuration',
      runbook: 'SidegateConfigRejected',
      kind: 'number',
      unit: 'short',
      width: 4,
      height: 4,
      min: 0,
      shows: 'Gates whose last reload failed: they run with the configuration before.',
      act: 'GET /config/error of the admin server names the line; correct the ConfigMap.',
      warnAt: 1,
      badAt: 1,
      queries: [
        {
          expr: `count(${shown('sidegate_config_last_reload_successful')} == 0) or vector(0)`,
          legend: 'rejected',
        },
      ],
    },
  ],
}

const connections: Row = {
  title: 'Connections',
  panels: [
    {
      title: 'Open by protocol',
      kind: 'stacked',
      unit: 'short',
      width: 8,
      shows: 'Open client connections by protocol.',
      act: 'A saw tooth is a client that reconnects in step: give `deadlines.lifetime` a jitter. A line that only rises is a leak: look at the ages with `sidegate connections`.',
      queries: [
        { expr: `sum by (protocol) (${shown('sidegate_connections', client)})`, legend: '{{protocol}}' },
      ],
    },
    {
      title: 'Opened and closed',
      kind: 'lines',
      unit: 'cps',
      width: 8,
      shows: 'Connections a second that were opened and that ended.',
      act: 'Opened well above closed for long: they pile up. A spike of both: a reconnect storm; limit it with `limits.newConnections`.',
      queries: [
        { expr: sumRate('sidegate_connections_opened_total'), legend: 'opened' },
        { expr: sumRate('sidegate_connections_closed_total'), legend: 'closed' },
      ],
    },
    {
      title: 'Refused by reason',
      runbook: 'SidegateClientsRefused',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Connections a second that were refused before they were served.',
      act: '`too_many` and `rate_limited`: a limit or a greedy client. `denied`: the access list. `overloaded`: memory. `sidegate explain REASON` tells the rest.',
      queries: [{ expr: sumRate('sidegate_connections_rejected_total', ['reason']), legend: '{{reason}}' }],
    },
    {
      title: 'Ends by reason',
      kind: 'stacked',
      unit: 'cps',
      width: 12,
      shows: 'Ended connections a second, by the reason and the side that caused it.',
      act: '`eof` is the normal end. Any other colour that grows has a name: `sidegate explain REASON` says what it means and which key governs it.',
      queries: [
        {
          expr: sumRate('sidegate_connections_closed_total', ['reason', 'side']),
          legend: '{{reason}} ({{side}})',
        },
      ],
    },
    {
      title: 'Age at the end',
      kind: 'heatmap',
      unit: 's',
      width: 12,
      shows: 'How old connections were when they ended.',
      act: 'A band at a fixed age is a deadline, ours or that of something between: compare it with `deadlines.idle` and with the load balancer.',
      queries: [{ expr: sumRate('sidegate_connection_duration_seconds_bucket', ['le']), legend: '{{le}}' }],
    },
  ],
}

const traffic: Row = {
  title: 'Traffic',
  panels: [
    {
      title: 'Bytes',
      kind: 'lines',
      unit: 'Bps',
      width: 8,
      shows: 'Bytes a second read from and taken by each side, live.',
      act: 'Read from one side well above taken by the other: queues grow; see the buffers.',
      queries: [
        { expr: sumRate('sidegate_receive_bytes_total', ['side']), legend: 'from {{side}}' },
        { expr: sumRate('sidegate_transmit_bytes_total', ['side']), legend: 'to {{side}}' },
      ],
    },
    {
      title: 'WebSocket messages',
      kind: 'lines',
      unit: 'cps',
      width: 8,
      shows: 'Whole messages a second, by direction.',
      act: 'A flood in one direction: set `limits.messages`, in observe mode first.',
      queries: [
        { expr: sumRate('sidegate_websocket_messages_total', ['direction']), legend: '{{direction}}' },
      ],
    },
    {
      title: 'HTTP requests by code',
      kind: 'stacked',
      unit: 'reqps',
      width: 8,
      shows: 'Plain HTTP requests a second; `none` got no answer.',
      act: '502 and 504 are the upstream: see connect failures. 408, 413 and 431 are bounds of the gate.',
      queries: [{ expr: sumRate('sidegate_http_requests_total', ['code']), legend: '{{code}}' }],
    },
    {
      title: 'gRPC calls by code',
      kind: 'stacked',
      unit: 'reqps',
      width: 8,
      shows: 'Calls a second by `grpc-status`, of the service or of the gate; `none` were cut.',
      act: '14 (UNAVAILABLE) is a service that is not there, or a limit: see connect failures. 12 is a method, or a port, that is another one. 4 and 1 are the deadlines of callers.',
      queries: [
        { expr: sumRate('sidegate_grpc_responses_total', ['grpc_status']), legend: '{{grpc_status}}' },
      ],
    },
    {
      title: 'HTTP request duration',
      kind: 'lines',
      unit: 's',
      width: 8,
      shows: 'From the head of a request to the last byte of its answer.',
      act: 'The service answers slowly, or clients read slowly: compare with the buffers for clients.',
      queries: [0.5, 0.95, 0.99].map((q) => ({
        expr: quantile(q, 'sidegate_http_request_duration_seconds'),
        legend: `p${q * 100}`,
      })),
    },
    {
      title: 'Connect to the upstream',
      kind: 'lines',
      unit: 's',
      width: 8,
      shows: 'How long successful dials took.',
      act: 'Above a few milliseconds inside a pod: the service accepts late, its backlog is full or its event loop is busy.',
      queries: [0.5, 0.99].map((q) => ({
        expr: quantile(q, 'sidegate_upstream_connect_duration_seconds'),
        legend: `p${q * 100}`,
      })),
    },
    {
      title: 'Connect failures',
      runbook: 'SidegateNoUpstream',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Dials of the upstream that failed.',
      act: '`connect_refused`: the service does not listen. `connect_timeout`: it is stuck. `no_upstream`: all addresses are unhealthy or full.',
      queries: [
        {
          expr: sumRate('sidegate_upstream_connect_failures_total', ['listener', 'reason']),
          legend: '{{listener}} {{reason}}',
        },
      ],
    },
  ],
}

const buffers: Row = {
  title: 'Buffers and back-pressure',
  panels: [
    {
      title: 'Queued bytes',
      runbook: 'SidegateBuffersNearBudget',
      kind: 'lines',
      unit: 'bytes',
      width: 6,
      shows: 'Bytes in our queues that wait for that side to take them.',
      act: 'For clients: slow readers. For the upstream: a slow service. `sidegate connections --sort buffered` names them.',
      queries: [{ expr: `sum by (side) (${shown('sidegate_buffered_bytes')})`, legend: 'for {{side}}' }],
    },
    {
      title: 'Connections held back',
      kind: 'lines',
      unit: 'short',
      width: 6,
      shows: 'Open connections with a source that is not read because its sink does not keep up.',
      act: 'Many at once: the side that is slow is the one with the queued bytes.',
      queries: [{ expr: `sum(${shown('sidegate_backpressured_connections')})`, legend: 'held back' }],
    },
    {
      title: 'Pings',
      kind: 'lines',
      unit: 'cps',
      width: 6,
      shows: 'Pings a second that were sent to WebSocket peers, and those that were answered by a pong.',
      act: 'Answered well below sent: peers that send data answer with it, the others are about to end with `ping_timeout`.',
      queries: [
        { expr: sumRate('sidegate_websocket_pings_total'), legend: 'sent' },
        { expr: sumRate('sidegate_websocket_pong_rtt_seconds_count'), legend: 'answered' },
      ],
    },
    {
      title: 'Ping round trip',
      kind: 'lines',
      unit: 's',
      width: 6,
      shows: 'Round trips of pings that were answered.',
      act: 'All rise: the network, or the event loop of the gate (see the other dashboard). Only p99: clients on bad links.',
      queries: [0.5, 0.99].map((q) => ({
        expr: quantile(q, 'sidegate_websocket_pong_rtt_seconds'),
        legend: `p${q * 100}`,
      })),
    },
  ],
}

const process: Row = {
  title: 'The gate itself',
  panels: [
    {
      title: 'CPU',
      kind: 'lines',
      unit: 'percentunit',
      width: 12,
      min: 0,
      shows: 'CPU seconds a second of each gate; it uses one core.',
      act: 'Near 1 the gate is the bottleneck: more pods. No CPU limit on the container: throttling looks like a slow event loop.',
      queries: [{ expr: rate('process_cpu_seconds_total'), legend: '{{instance}}' }],
    },
    {
      title: 'Memory',
      kind: 'lines',
      unit: 'bytes',
      width: 12,
      min: 0,
      shows: 'Memory that counts against the limit of the container, and that limit.',
      act: 'Near the limit with few queued bytes: more connections than the container is sized for, see docs/sizing.md.',
      queries: [
        { expr: shown('sidegate_memory_usage_bytes'), legend: '{{instance}} used' },
        { expr: shown('sidegate_memory_limit_bytes'), legend: '{{instance}} limit' },
      ],
    },
    {
      title: 'Limits of the fleet',
      kind: 'lines',
      unit: 'short',
      width: 12,
      min: 0,
      shows:
        'Gates that lease limits with scope: fleet from Redis, and those that enforce their own share while it is away.',
      act: 'away: clients get about what the fleet allows, by the share of each gate. SidegateSharedDown is the runbook.',
      queries: [
        { expr: `sum(${shown('sidegate_shared_up')})`, legend: 'leased' },
        { expr: `count(${shown('sidegate_shared_up')} == 0)`, legend: 'away' },
      ],
    },
    {
      title: 'Versions',
      kind: 'table',
      unit: 'short',
      width: 12,
      shows: 'The gates that run.',
      act: 'More than one version for long: a roll-out that is stuck.',
      queries: [
        { expr: `count by (version, revision, node_version) (${shown('sidegate_build_info')})`, legend: '' },
      ],
    },
    {
      title: 'Configurations in effect',
      kind: 'table',
      unit: 'short',
      width: 12,
      shows: 'How many gates run which content of the configuration file.',
      act: 'More than one minutes after a change: a gate that refused it (see *Configuration*), or whose ConfigMap is mounted with subPath and never changes.',
      queries: [{ expr: `count by (job, hash) (${shown('sidegate_config_info')})`, legend: '' }],
    },
  ],
}

export const overview: DashboardSpec = {
  file: 'sidegate-overview.json',
  uid: 'sidegate-overview',
  title: 'Sidegate / Overview',
  description: 'The traffic of the gates, its ends and their reasons, and whether the gates are well.',
  rows: [now, levelRow, connections, traffic, buffers, process],
}
