// The dashboard for trouble: stalled peers, slow peers, limited peers, and whether the gate is to blame.

import { quantile, shown, sumRate } from './metrics.ts'
import type { DashboardSpec, Row } from './panel.ts'

const closed = 'sidegate_connections_closed_total'

const stalls: Row = {
  title: 'Stalled and vanished peers',
  panels: [
    {
      title: 'Stalls by side',
      runbook: 'SidegateStallsRising',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows:
        'Connections a second that ended because a side took no bytes (`write_timeout`) or too few (`too_slow`).',
      act: 'side="client": readers on dead links, or a page that blocks. side="upstream": the service does not read; look at its event loop or thread pool. The key is `deadlines.write`.',
      queries: [
        {
          expr: sumRate(closed, ['side', 'reason'], { reason: '~write_timeout|too_slow|slow_consumer' }),
          legend: '{{reason}} ({{side}})',
        },
      ],
    },
    {
      title: 'Vanished',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'WebSocket peers that answered no ping, and TCP peers that the kernel gave up.',
      act: 'Many at the same moment: a network or a node went away. A steady rate is mobile clients. A load balancer that cuts silently shows here: set `websocket.ping.interval` below its idle time.',
      queries: [
        {
          expr: sumRate(closed, ['side', 'reason'], { reason: '~ping_timeout|reset' }),
          legend: '{{reason}} ({{side}})',
        },
      ],
    },
    {
      title: 'Half-closed',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Connections where one side had ended and the other never did.',
      act: 'side="upstream": the service ignores the end of its input. It is bounded here; raise `deadlines.halfClose` only if it still answers by then.',
      queries: [{ expr: sumRate(closed, ['side'], { reason: 'half_close_timeout' }), legend: '{{side}}' }],
    },
    {
      title: 'Waited for too long',
      runbook: 'SidegateResponseTimeouts',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Heads, bodies and answers that did not come in time, and idle connections.',
      act: '`handshake_timeout`: scanners or slow-header attacks. `response_timeout`: the service. `idle_timeout`: forgotten connections, or an application that is quiet by nature: raise `deadlines.idle`.',
      queries: [
        {
          expr: sumRate(closed, ['reason', 'side'], {
            reason: '~handshake_timeout|request_timeout|response_timeout|idle_timeout|connect_timeout',
          }),
          legend: '{{reason}} ({{side}})',
        },
      ],
    },
    {
      title: 'Broken conversations',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Ends where a peer may not end, and broken protocol.',
      act: '`aborted` (client) is closed tabs. `aborted` (upstream) is a service that crashes: read its log. `protocol_error`: the field `detail` of the log line names the rule.',
      queries: [
        {
          expr: sumRate(closed, ['reason', 'side'], {
            reason: '~aborted|protocol_error|message_too_big|internal_error',
          }),
          legend: '{{reason}} ({{side}})',
        },
      ],
    },
    {
      title: 'Ended by the gate',
      runbook: 'SidegateInternalErrors',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Connections that the gate ended for its own reasons.',
      act: '`drain_timeout`: the grace period is too short. `overloaded`: memory. `upstream_unhealthy`: see the health checks.',
      queries: [
        {
          expr: sumRate(closed, ['reason'], {
            reason: '~drain|drain_timeout|reloaded|lifetime_timeout|overloaded|killed|upstream_unhealthy',
          }),
          legend: '{{reason}}',
        },
      ],
    },
  ],
}

const where: Row = {
  title: 'Where, and what drains',
  panels: [
    {
      title: 'Trouble by listener',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Connections a second that ended otherwise than with `eof`, by listener and protocol.',
      act: 'One listener alone: its upstream or its clients. All of them at the same moment: the network, a roll-out, or the gate.',
      queries: [
        {
          expr: sumRate(closed, ['listener', 'protocol'], { reason: '!eof' }),
          legend: '{{listener}} {{protocol}}',
        },
      ],
    },
    {
      title: 'Trouble by instance',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'The same by gate.',
      act: 'One gate alone: its node, or the service in its pod. Compare its event loop and memory with the others below.',
      queries: [{ expr: sumRate(closed, ['instance'], { reason: '!eof' }), legend: '{{instance}}' }],
    },
    {
      title: 'Left in a drain',
      runbook: 'SidegateDrainCut',
      kind: 'lines',
      unit: 'short',
      width: 8,
      min: 0,
      shows:
        'Client connections that are still open at gates that are draining, and those that were cut: ended while they were owed bytes or an answer.',
      act: 'It falls over `drain.spread`. What stays flat is reset at `drain.timeout`: `sidegate connections --sort age` tells who it is.',
      queries: [
        {
          expr: `sum by (instance) (${shown('sidegate_connections', { side: 'client' })}) and on (instance) ${shown('sidegate_draining')} == 1`,
          legend: '{{instance}}',
        },
        {
          expr: `sum by (instance) (increase(${shown('sidegate_drain_cut_total')}[$__rate_interval])) > 0`,
          legend: '{{instance}} cut',
        },
      ],
    },
  ],
}

const slow: Row = {
  title: 'Slow consumers and buffers',
  panels: [
    {
      title: 'Queued bytes against the budget',
      runbook: 'SidegateBuffersNearBudget',
      kind: 'lines',
      unit: 'bytes',
      width: 8,
      min: 0,
      shows: 'All bytes queued in a gate, and `memory.buffered`.',
      act: 'At the budget the largest stalled queues are ended with `overloaded`. Lower `buffers.high` or `websocket.slowConsumer.queue`, or raise the memory limit.',
      queries: [
        { expr: `sum by (instance) (${shown('sidegate_buffered_bytes')})`, legend: '{{instance}} queued' },
        {
          expr: `max by (instance) (${shown('sidegate_memory_buffered_limit_bytes')})`,
          legend: '{{instance}} budget',
        },
      ],
    },
    {
      title: 'Pauses',
      kind: 'lines',
      unit: 'cps',
      width: 8,
      shows: 'How often a second a source was paused because its sink did not keep up.',
      act: 'to_client: clients read slower than the service sends. to_upstream: the service reads slower than clients send.',
      queries: [
        { expr: sumRate('sidegate_backpressure_pauses_total', ['direction']), legend: '{{direction}}' },
      ],
    },
    {
      title: 'Messages dropped',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows:
        'Whole messages dropped: for slow clients, by the policy that dropped them, or over the rate of limits.messages (rate).',
      act: 'Expected with `dropOldest`, `dropNewest` and `onExceed: drop`. If all clients drop, the service sends more than the network carries, or the rate is too low.',
      queries: [
        { expr: sumRate('sidegate_websocket_messages_dropped_total', ['policy']), legend: '{{policy}}' },
      ],
    },
  ],
}

const limits: Row = {
  title: 'Limits',
  panels: [
    {
      title: 'Rate limiting',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'How often a limit acted, by limit and action.',
      act: '`delay` loses nothing: the sender is slowed down. `close` ends connections: make sure that the limit is meant that way.',
      queries: [
        { expr: sumRate('sidegate_rate_limited_total', ['limit', 'action']), legend: '{{limit}} {{action}}' },
      ],
    },
    {
      title: 'What would have been done',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'How often a limit in observe mode would have acted.',
      act: 'If only those show that you would stop, set `mode: enforce`. If innocent clients show, raise the limit first.',
      queries: [{ expr: sumRate('sidegate_observed_total', ['limit']), legend: '{{limit}}' }],
    },
    {
      title: 'Refused',
      runbook: 'SidegateClientsRefused',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Connections a second that were refused, by reason.',
      act: '`sidegate explain REASON`; the log has one line a second with an address.',
      queries: [{ expr: sumRate('sidegate_connections_rejected_total', ['reason']), legend: '{{reason}}' }],
    },
    {
      title: 'Room left',
      runbook: 'SidegateConnectionsNearLimit',
      kind: 'lines',
      unit: 'percentunit',
      width: 8,
      min: 0,
      shows: 'Open connections over `limits.connections`, by listener.',
      act: 'At 1 newcomers get 503 or RST. Raise the limit and the descriptor limit, or add pods.',
      queries: [
        {
          expr: `max by (listener) (sum by (namespace, job, instance, listener) (${shown('sidegate_connections', { side: 'client' })}) / on (namespace, job, instance, listener) ${shown('sidegate_connections_limit')})`,
          legend: '{{listener}}',
        },
      ],
    },
    {
      title: 'Descriptors',
      kind: 'lines',
      unit: 'percentunit',
      width: 8,
      min: 0,
      max: 1,
      shows: 'Open descriptors over their limit; a connection has two.',
      act: 'Over 0.9 raise the limit of the container runtime; the gate refuses before the kernel does.',
      queries: [
        { expr: `${shown('process_open_fds')} / ${shown('process_max_fds')}`, legend: '{{instance}}' },
      ],
    },
    {
      title: 'Heads not complete',
      kind: 'lines',
      unit: 'short',
      width: 8,
      shows: 'Accepted connections whose request head is not complete.',
      act: 'Hundreds: a slow-header attack, bounded by `deadlines.handshake`, or clients that open connections in advance.',
      queries: [
        { expr: `sum by (listener) (${shown('sidegate_connections_pending')})`, legend: '{{listener}}' },
      ],
    },
  ],
}

const upstream: Row = {
  title: 'Upstream',
  panels: [
    {
      title: 'Targets by state',
      runbook: 'SidegateUpstreamUnhealthy',
      kind: 'stacked',
      unit: 'short',
      width: 8,
      shows: 'Addresses of the upstream, by what the health checks say.',
      act: 'GET /upstreams of the admin server names the address and its last error. `gone`: its name stands for it no more (`upstream.onRemoved`).',
      queries: [
        {
          expr: `sum by (listener, state) (${shown('sidegate_upstream_targets')})`,
          legend: '{{listener}} {{state}}',
        },
      ],
    },
    {
      title: 'Names by state',
      kind: 'stacked',
      unit: 'short',
      width: 8,
      shows: 'Names of upstream addresses, by what the resolver says of them.',
      act: 'absent: new connections end with `no_upstream`. stale: the resolver does not answer, and the last good addresses are in use. GET /upstreams says since when, and what was answered.',
      queries: [
        {
          expr: `sum by (listener, state) (${shown('sidegate_upstream_names')})`,
          legend: '{{listener}} {{state}}',
        },
      ],
    },
    {
      title: 'No local port',
      kind: 'lines',
      unit: 'cps',
      width: 8,
      shows: 'Dials a second for which the system had no local port left.',
      act: 'One upstream address takes no more connections than net.ipv4.ip_local_port_range holds, those in TIME_WAIT included: several addresses, or a wider range.',
      queries: [
        { expr: sumRate('sidegate_upstream_no_local_port_total', ['instance']), legend: '{{instance}}' },
      ],
    },
    {
      title: 'Waiting for a place',
      kind: 'lines',
      unit: 'short',
      width: 8,
      shows:
        'Connections and requests that wait for a place under `upstream.maxConnections`, or for a name to be resolved.',
      act: 'The service holds its connections for too long, or the maximum is too low. They end with `no_upstream` at `upstream.queueTimeout`.',
      queries: [{ expr: `sum by (listener) (${shown('sidegate_upstream_queued')})`, legend: '{{listener}}' }],
    },
    {
      title: 'Health checks',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Health checks of upstream addresses a second, by result.',
      act: 'failed and passed in turn: a service at its limit, or a check that is stricter than the service (`upstream.healthCheck.timeout`).',
      queries: [
        {
          expr: sumRate('sidegate_upstream_health_checks_total', ['listener', 'result']),
          legend: '{{listener}} {{result}}',
        },
      ],
    },
    {
      title: 'Failed dials',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Dials a second that failed.',
      act: 'The reason says whether it refuses, hangs, or cannot be reached.',
      queries: [
        {
          expr: sumRate('sidegate_upstream_connect_failures_total', ['listener', 'reason']),
          legend: '{{listener}} {{reason}}',
        },
      ],
    },
    {
      title: 'Slow dials',
      kind: 'lines',
      unit: 's',
      width: 8,
      shows: 'The 99th percentile of successful dials.',
      act: 'Near `deadlines.connect`: its accept queue is full.',
      queries: [
        {
          expr: quantile(0.99, 'sidegate_upstream_connect_duration_seconds', ['listener']),
          legend: '{{listener}} p99',
        },
      ],
    },
  ],
}

const process: Row = {
  title: 'Is it the gate?',
  panels: [
    {
      title: 'Event loop delay',
      runbook: 'SidegateEventLoopSlow',
      kind: 'lines',
      unit: 's',
      width: 8,
      min: 0,
      shows: 'The 99th percentile and the maximum of the delay of the event loop since the last scrape.',
      act: 'Above 0.1 s everything is late by that. Look at CPU throttling first, then take a profile: `sidegate profile cpu`.',
      queries: [
        { expr: shown('nodejs_eventloop_lag_p99_seconds'), legend: '{{instance}} p99' },
        { expr: shown('nodejs_eventloop_lag_max_seconds'), legend: '{{instance}} max' },
      ],
    },
    {
      title: 'Workers: connections',
      kind: 'lines',
      unit: 'short',
      width: 8,
      min: 0,
      shows: 'Open connections of each worker (`workers` above 1), and workers that ended unasked.',
      act: 'The kernel shares connections out by chance, not by load: with few of them some workers have more. One that ended is in the log: `worker ended`.',
      queries: [
        { expr: shown('sidegate_worker_connections'), legend: '{{instance}} {{worker}}' },
        {
          expr: `increase(${shown('sidegate_workers_ended_total')}[$__rate_interval])`,
          legend: '{{instance}} ended',
        },
      ],
    },
    {
      title: 'Workers: CPU and delay',
      kind: 'lines',
      unit: 'short',
      width: 8,
      min: 0,
      shows:
        'Cores that each worker uses, and the 99th percentile of the delay of its event loop in seconds.',
      act: 'One at a whole core while others rest has connections that are busier than most. All at a core: add workers, if there are cores for them.',
      queries: [
        {
          expr: `rate(${shown('sidegate_worker_cpu_seconds_total')}[$__rate_interval])`,
          legend: '{{instance}} {{worker}} cores',
        },
        { expr: shown('sidegate_worker_eventloop_lag_p99_seconds'), legend: '{{instance}} {{worker}} delay' },
      ],
    },
    {
      title: 'Memory against the limit',
      runbook: 'SidegateOverloaded',
      kind: 'lines',
      unit: 'percentunit',
      width: 8,
      min: 0,
      max: 1,
      shows: 'Memory that counts against the limit of the container, over that limit.',
      act: 'See docs/sizing.md. With few queued bytes it is the heap: `sidegate profile heap`.',
      queries: [
        {
          expr: `${shown('sidegate_memory_usage_bytes')} / ${shown('sidegate_memory_limit_bytes')}`,
          legend: '{{instance}}',
        },
      ],
    },
    {
      title: 'Heap',
      kind: 'lines',
      unit: 'bytes',
      width: 8,
      min: 0,
      shows: 'JavaScript heap in use, and buffers outside of it.',
      act: 'A heap that only rises with a constant number of connections is a leak: please report it with a heap profile.',
      queries: [
        { expr: shown('nodejs_heap_size_used_bytes'), legend: '{{instance}} heap' },
        { expr: shown('nodejs_external_memory_bytes'), legend: '{{instance}} buffers' },
      ],
    },
    {
      title: 'Log lines dropped',
      kind: 'lines',
      unit: 'cps',
      width: 8,
      shows: 'Log lines a second that the standard output did not take.',
      act: 'The reader of the log is stuck or too slow. The connections are not: they never wait for the log.',
      queries: [{ expr: sumRate('sidegate_log_lines_dropped_total', ['instance']), legend: '{{instance}}' }],
    },
    {
      title: 'Looks into the kernel lost',
      kind: 'lines',
      unit: 'cps',
      width: 8,
      shows: 'Looks a second for what slow peers have taken (/proc/net/tcp) that could not be made.',
      act: 'Slow readers are told from stalled ones later while this lasts. The files could not be opened or read: are there descriptors left, and is /proc of the container complete?',
      queries: [{ expr: sumRate('sidegate_kernel_looks_lost_total', ['instance']), legend: '{{instance}}' }],
    },
    {
      title: 'Certificates',
      runbook: 'SidegateCertificateExpiring',
      kind: 'lines',
      unit: 's',
      width: 8,
      shows: 'Seconds until each certificate expires.',
      act: 'Below two weeks: has cert-manager renewed it, and is the Secret mounted as a directory (a subPath never changes)?',
      queries: [
        {
          expr: `min by (name) (${shown('sidegate_tls_certificate_expiry_timestamp_seconds')}) - time()`,
          legend: '{{name}}',
        },
      ],
    },
    {
      title: 'Certificate files',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Changes of certificate files, by whether they were taken.',
      act: 'failure: the log line names the file and what OpenSSL says of it; the last good certificate stays in use.',
      queries: [{ expr: sumRate('sidegate_tls_reloads_total', ['result']), legend: '{{result}}' }],
    },
    {
      title: 'Strangers at the admin server',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Requests to the admin server without a token, or with a wrong one.',
      act: 'wrong_token: the log line `connection refused` of `admin` names the address. Is it a client with an old token, or somebody who tries?',
      queries: [{ expr: sumRate('sidegate_admin_refused_total', ['reason']), legend: '{{reason}}' }],
    },
    {
      title: 'Waiting for a restart',
      kind: 'lines',
      unit: 'short',
      width: 8,
      min: 0,
      shows: 'Gates whose configuration file holds changes that a reload cannot apply.',
      act: 'Restart them when it suits; the log names the keys (`health.address`, `admin.address`).',
      queries: [{ expr: `sum(${shown('sidegate_config_restart_required')})`, legend: 'wait' }],
    },
    {
      title: 'Reloads',
      runbook: 'SidegateConfigRejected',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Reloads of the configuration, by result.',
      act: 'failure: GET /config/error names the line. The gate goes on with what it had.',
      queries: [{ expr: sumRate('sidegate_config_reloads_total', ['result']), legend: '{{result}}' }],
    },
  ],
}

const fleet: Row = {
  title: 'Limits of the fleet',
  panels: [
    {
      title: 'Leased from Redis',
      kind: 'lines',
      unit: 'short',
      width: 8,
      min: 0,
      shows:
        'Gates that lease limits with scope: fleet, those that enforce their own share, and how many they believe to be.',
      act: 'away: the log line `limits of the fleet: Redis is away` says why. The runbook is SidegateSharedDown.',
      queries: [
        { expr: `sum(${shown('sidegate_shared_up')})`, legend: 'leased' },
        { expr: `count(${shown('sidegate_shared_up')} == 0)`, legend: 'away' },
        { expr: `max(${shown('sidegate_shared_gates')})`, legend: 'gates' },
      ],
    },
    {
      title: 'Requests to Redis',
      kind: 'stacked',
      unit: 'cps',
      width: 8,
      shows: 'Scripts that Redis was asked to run, by result.',
      act: 'Many a second: larger bursts make larger leases. timeout: is Redis busy, or shared.redis.timeout too short for the way there?',
      queries: [{ expr: sumRate('sidegate_shared_requests_total', ['result']), legend: '{{result}}' }],
    },
    {
      title: 'Answers and leases',
      kind: 'lines',
      unit: 's',
      width: 8,
      shows: 'How long Redis takes to answer, and how long leases last.',
      act: 'No client waits for an answer. Near shared.redis.timeout the leases will be given up.',
      queries: [
        {
          expr: quantile(0.99, 'sidegate_shared_request_duration_seconds', []),
          legend: 'answer p99',
        },
        {
          expr: quantile(0.5, 'sidegate_shared_lease_seconds', []),
          legend: 'lease p50',
        },
      ],
    },
  ],
}

export const trouble: DashboardSpec = {
  file: 'sidegate-trouble.json',
  uid: 'sidegate-trouble',
  title: 'Sidegate / Connections in trouble',
  description: 'Peers that stall, are slow or limited, and whether the gate is to blame.',
  rows: [where, stalls, slow, limits, fleet, upstream, process],
}
