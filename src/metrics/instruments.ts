// Every metric of ours: its name, help, labels and buckets, in one place. Only this file, distribution.ts,
// fleet-instruments.ts, process-metrics.ts and tally.ts know prom-client, which is frozen and whose successor
// (@prometheus-io/client) has nearly the same interface.
//
// Labels hold our own words and the names of listeners, never an address, a path or a header: prom-client
// keeps a series for ever, and a client that can choose labels can fill the memory (CVE-2022-21698).

import type { Close } from '../core/close.ts'
import { isWithoutLocalPort } from '../upstream/failures.ts'
import { Distribution } from './distribution.ts'
import { Counter, Gauge, Registry } from './prom-client.ts'

/** Local dials take 0.1 ms, those to a stuck upstream as long as `deadlines.connect`. */
const dialBuckets = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5, 30]
/**
 * From a round trip in a pod to a phone on a bad link; the last is beyond the default
 * `websocket.ping.timeout`.
 */
const requestBuckets = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]
const pongBuckets = [0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const durationBuckets = [0.1, 1, 5, 15, 60, 300, 900, 3600, 14_400, 43_200, 86_400]

export type GateInstruments = ReturnType<typeof createGateInstruments>
export type ProcessInstruments = ReturnType<typeof createProcessInstruments>

/** The instruments of one gate: those of several gates are summed, unless `aggregator` says otherwise. */
export function createGateInstruments(registry: Registry) {
  return {
    ...connectionInstruments(registry),
    ...trafficInstruments(registry),
    ...gateStateInstruments(registry),
  }
}

/** The instruments of the whole process. */
export function createProcessInstruments(registry: Registry) {
  const registers = [registry]
  return {
    build: new Gauge({
      name: 'sidegate_build_info',
      help: 'Always 1; what runs here.',
      labelNames: ['version', 'revision', 'node_version'] as const,
      registers,
    }),
    draining: new Gauge({
      name: 'sidegate_draining',
      help: '1 from the start of a drain to the exit.',
      registers,
    }),
    overloadPressure: new Gauge({
      name: 'sidegate_overload_pressure',
      help: '0 to 1: the largest of memory used of the limit, heap used of what V8 can use, and bytes queued of memory.buffered.',
      registers,
    }),
    memoryLimit: new Gauge({
      name: 'sidegate_memory_limit_bytes',
      help: 'The memory limit of the container, or the memory of the machine where there is none.',
      registers,
    }),
    memoryUsage: new Gauge({
      name: 'sidegate_memory_usage_bytes',
      help: 'The memory that counts against that limit: usage less the file cache that the kernel would drop first.',
      registers,
    }),
    bufferedLimit: new Gauge({
      name: 'sidegate_memory_buffered_limit_bytes',
      help: 'The most that may wait in all queues together (memory.buffered); sidegate_buffered_bytes is what does.',
      registers,
    }),
    configSuccessful: new Gauge({
      name: 'sidegate_config_last_reload_successful',
      help: '0 while the configuration file cannot be used and the last good one is in effect.',
      registers,
    }),
    configSuccessAt: new Gauge({
      name: 'sidegate_config_last_reload_success_timestamp_seconds',
      help: 'When the configuration in effect was applied; the start counts.',
      registers,
    }),
    configReloads: new Counter({
      name: 'sidegate_config_reloads_total',
      help: 'Reloads of the configuration; a failed one has changed nothing.',
      labelNames: ['result'] as const,
      registers,
    }),
    configInfo: new Gauge({
      name: 'sidegate_config_info',
      help: 'Always 1; the hash tells which configuration file is in effect.',
      labelNames: ['hash'] as const,
      registers,
    }),
    configRestartRequired: new Gauge({
      name: 'sidegate_config_restart_required',
      help: '1 while the configuration file holds changes that wait for a restart.',
      registers,
    }),
    adminRefused: new Counter({
      name: 'sidegate_admin_refused_total',
      help: 'Requests to the admin server without a token (no_token), or with a wrong one (wrong_token), where admin.tokenFile asks for one.',
      labelNames: ['reason'] as const,
      registers,
    }),
    workersEnded: new Counter({
      name: 'sidegate_workers_ended_total',
      help: 'Worker threads that ended unasked (an uncaught error, a full heap, an event loop that did not turn for ten seconds); their connections ended with them.',
      registers,
    }),
    logLinesDropped: new Counter({
      name: 'sidegate_log_lines_dropped_total',
      help: 'Log lines dropped because the standard output did not take them.',
      registers,
    }),
  }
}

function connectionInstruments(registry: Registry) {
  const registers = [registry]
  return {
    connections: new Gauge({
      name: 'sidegate_connections',
      help: 'Open connections whose protocol is known; side is the one that has the socket. side="client" equals opened less closed.',
      labelNames: ['listener', 'protocol', 'side'] as const,
      registers,
    }),
    connectionsLimit: new Gauge({
      name: 'sidegate_connections_limit',
      help: 'Connections that may be open at this listener at once: limits.connections, or what it became where the descriptor limit holds fewer.',
      labelNames: ['listener'] as const,
      aggregator: 'max',
      registers,
    }),
    connectionsPending: new Gauge({
      name: 'sidegate_connections_pending',
      help: 'Accepted connections whose PROXY header, TLS handshake or request head is not complete, so that their protocol is not known; not in sidegate_connections.',
      labelNames: ['listener'] as const,
      registers,
    }),
    opened: new Counter({
      name: 'sidegate_connections_opened_total',
      help: 'Client connections, counted when their protocol is known or else at their end.',
      labelNames: ['listener', 'protocol'] as const,
      registers,
    }),
    closed: new Counter({
      name: 'sidegate_connections_closed_total',
      help: 'Client connections that ended, by the reason and by the side that caused it.',
      labelNames: ['listener', 'protocol', 'side', 'reason'] as const,
      registers,
    }),
    rejected: new Counter({
      name: 'sidegate_connections_rejected_total',
      help: 'Connections refused before they were served; not in opened or closed.',
      labelNames: ['listener', 'reason'] as const,
      registers,
    }),
    duration: new Distribution({
      name: 'sidegate_connection_duration_seconds',
      help: 'Age of connections at their end.',
      labelNames: ['listener', 'protocol'] as const,
      buckets: durationBuckets,
      registry,
    }),
    dialDuration: new Distribution({
      name: 'sidegate_upstream_connect_duration_seconds',
      help: 'How long successful dials of the upstream took.',
      labelNames: ['listener'] as const,
      buckets: dialBuckets,
      registry,
    }),
    noLocalPort: new Counter({
      name: 'sidegate_upstream_no_local_port_total',
      help: 'Dials of the upstream that failed with EADDRNOTAVAIL: no local port was left for its address. They are in sidegate_upstream_connect_failures_total too.',
      labelNames: ['listener'] as const,
      registers,
    }),
    dialFailures: new Counter({
      name: 'sidegate_upstream_connect_failures_total',
      help: 'Dials of the upstream that failed; attempts are these and the count of the durations.',
      labelNames: ['listener', 'reason'] as const,
      registers,
    }),
  }
}

function trafficInstruments(registry: Registry) {
  const registers = [registry]
  return {
    received: new Counter({
      name: 'sidegate_receive_bytes_total',
      help: 'Bytes read from that side, live.',
      labelNames: ['listener', 'side'] as const,
      registers,
    }),
    transmitted: new Counter({
      name: 'sidegate_transmit_bytes_total',
      help: 'Bytes that the kernel took for that side, live; what waits in our queues is not in it.',
      labelNames: ['listener', 'side'] as const,
      registers,
    }),
    messages: new Counter({
      name: 'sidegate_websocket_messages_total',
      help: 'Whole WebSocket messages that came, live; those that were dropped are in it.',
      labelNames: ['listener', 'direction'] as const,
      registers,
    }),
    messagesDropped: new Counter({
      name: 'sidegate_websocket_messages_dropped_total',
      help: 'Whole messages that were dropped: because a client was too slow for them (the policy of websocket.slowConsumer), or over the rate of limits.messages (rate).',
      labelNames: ['policy'] as const,
      registers,
    }),
    pings: new Counter({
      name: 'sidegate_websocket_pings_total',
      help: 'Pings sent to WebSocket peers.',
      registers,
    }),
    pongRtt: new Distribution({
      name: 'sidegate_websocket_pong_rtt_seconds',
      help: 'Round trip of pings that were answered.',
      buckets: pongBuckets,
      registry,
    }),
    requests: new Counter({
      name: 'sidegate_http_requests_total',
      help: 'Plain HTTP requests; code is none where the client got no answer.',
      labelNames: ['listener', 'method', 'code'] as const,
      registers,
    }),
    grpcResponses: new Counter({
      name: 'sidegate_grpc_responses_total',
      help: 'Calls of gRPC by the code that the caller got, of the service or of the gate: 0 to 16; other is none of these, none a call that was cut.',
      labelNames: ['listener', 'grpc_status'] as const,
      registers,
    }),
    outcomes: new Counter({
      name: 'sidegate_outcomes_total',
      help: 'Plain HTTP requests, tcp connections and WebSockets at their end. bad: a 5xx answer, a code of gRPC that means the same, or an end that the upstream or the gate caused out of turn; what the client caused, and what was ordered, is good.',
      labelNames: ['listener', 'protocol', 'outcome'] as const,
      registers,
    }),
    requestDuration: new Distribution({
      name: 'sidegate_http_request_duration_seconds',
      help: 'From the head of a request to the last byte of its answer.',
      labelNames: ['listener'] as const,
      buckets: requestBuckets,
      registry,
    }),
    rateLimited: new Counter({
      name: 'sidegate_rate_limited_total',
      help: 'How often a limit acted: delay counts pauses (or connections that had to wait), close counts ends and refusals, drop counts messages and control frames.',
      labelNames: ['listener', 'limit', 'action'] as const,
      registers,
    }),
    observed: new Counter({
      name: 'sidegate_observed_total',
      help: 'How often a limit that is only observed (mode: observe) would have acted.',
      labelNames: ['listener', 'limit'] as const,
      registers,
    }),
    buffered: new Gauge({
      name: 'sidegate_buffered_bytes',
      help: 'Bytes in our queues that wait for that side to take them.',
      labelNames: ['side'] as const,
      registers,
    }),
    bufferLimit: new Gauge({
      name: 'sidegate_buffer_limit_bytes',
      help: 'High watermark (buffers.high): at so many queued bytes a half pauses its source.',
      labelNames: ['listener'] as const,
      aggregator: 'max',
      registers,
    }),
    pauses: new Counter({
      name: 'sidegate_backpressure_pauses_total',
      help: 'How often a source was paused because its sink did not keep up.',
      labelNames: ['direction'] as const,
      registers,
    }),
    backpressured: new Gauge({
      name: 'sidegate_backpressured_connections',
      help: 'Open connections with a queue at or above its high watermark.',
      registers,
    }),
  }
}

function gateStateInstruments(registry: Registry) {
  const registers = [registry]
  return {
    drainCut: new Counter({
      name: 'sidegate_drain_cut_total',
      help: 'Connections that a drain ended while they were owed bytes, or an answer to what the client said last.',
      registers,
    }),
    tlsExpiry: new Gauge({
      name: 'sidegate_tls_certificate_expiry_timestamp_seconds',
      help: 'When the first certificate expires of those that are shown, to clients of a listener, or to its upstream (name ends in /upstream); and when the last authority does that is trusted with clients (/clientCa), or with the upstream (/upstream/ca).',
      labelNames: ['name'] as const,
      aggregator: 'min',
      registers,
    }),
    tlsReloads: new Counter({
      name: 'sidegate_tls_reloads_total',
      help: 'Changes of certificate files that were taken (success), or were bad, so that the last good ones stay in use (failure).',
      labelNames: ['result'] as const,
      aggregator: 'max',
      registers,
    }),
    kernelLooksLost: new Counter({
      name: 'sidegate_kernel_looks_lost_total',
      help: 'Looks into the kernel for what peers have taken (/proc/net/tcp) that could not be made: slow readers are told from stalled ones later.',
      registers,
    }),
  }
}

/** Counts by reason, and separately if no local port was left. */
export function countFailedDial(
  { dialFailures, noLocalPort }: GateInstruments,
  listener: string,
  close: Close,
): void {
  dialFailures.inc({ listener, reason: close.reason })
  if (isWithoutLocalPort(close)) noLocalPort.inc({ listener })
}
