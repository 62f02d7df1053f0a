// Close reasons: the one table of why connections end, and the one record of an end.
//
// A connection ends once, with a Close; the first cause wins, later ones are its consequences. The same word
// is the log field, the metric label, the text of the WebSocket Close frame and the argument of `sidegate
// explain`.
//
//     reason = why      side = who      phase = when      manner = how (a column of the table, never a caller's choice)

/** The side that caused the end: a peer, or ourselves. */
export const sides = ['client', 'upstream', 'sidegate'] as const
export type Side = (typeof sides)[number]
/** The two sides that have a socket. */
export type PeerSide = 'client' | 'upstream'

/** How far the connection had come at its end. */
export const phases = ['admit', 'handshake', 'connect', 'relay', 'close'] as const
export type Phase = (typeof phases)[number]

/**
 * flush: the queued bytes, then FIN, for as long as the peer takes them. drop: FIN, and the queue is
 * discarded. deliver: what was accepted, in the same way, then RST: the honest end of a truncated stream.
 * reset: RST at once, the only way to free what a stalled peer leaves in the kernel's queue. `mannerFor`
 * chooses one for each peer.
 */
export type Manner = 'flush' | 'drop' | 'deliver' | 'reset'

/** The status for a client that waits for an HTTP answer, by the side at fault. */
interface HttpStatus {
  client: number
  upstream: number
}

/** The Close code for each peer; `offender` is for the side that caused the end. Absent: no Close frame. */
interface WebSocketCodes {
  offender?: number
  client?: number
  upstream?: number
}

/** RFC 9113 section 7. */
export const http2Codes = {
  NO_ERROR: 0,
  PROTOCOL_ERROR: 1,
  INTERNAL_ERROR: 2,
  FLOW_CONTROL_ERROR: 3,
  SETTINGS_TIMEOUT: 4,
  STREAM_CLOSED: 5,
  FRAME_SIZE_ERROR: 6,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  COMPRESSION_ERROR: 9,
  CONNECT_ERROR: 10,
  ENHANCE_YOUR_CALM: 11,
  INADEQUATE_SECURITY: 12,
  HTTP_1_1_REQUIRED: 13,
} as const
export type Http2CodeName = keyof typeof http2Codes

export interface ReasonRow {
  manner: Manner
  /** Absent where an HTTP answer is impossible or not due. */
  http?: HttpStatus
  /** Absent where we inject no Close frame. */
  websocket?: WebSocketCodes
  /**
   * The HTTP/2 codes for the client that caused the end, where they say more than CANCEL (a stream) and
   * NO_ERROR (a connection).
   */
  http2?: { stream?: Http2CodeName; connection?: Http2CodeName }
  /** The configuration key that governs this reason. */
  key?: string
  /** The event, in one sentence. */
  when: string
  /** Likely causes and remedies, for the operator who meets it. */
  causes: string
}

const status = (client: number, upstream = client): HttpStatus => ({ client, upstream })
/**
 * The codes for the innocent side when Sidegate refuses something: a client gets 1011, an upstream 1001 (its
 * client is going away). When the upstream itself ends without a Close frame, its client gets none either: it
 * sees 1006, as it would without us, and reconnects. With 1011 or 1001 the client would take a crash for a
 * clean end, and some client libraries would never reconnect.
 */
const innocent = { client: 1011, upstream: 1001 }

export const reasons = {
  eof: {
    manner: 'flush',
    when: 'The normal end: both halves ended, a closing handshake was made, or an HTTP connection was done.',
    causes: 'Nothing is wrong.',
  },
  aborted: {
    manner: 'flush',
    http: status(502),
    websocket: { upstream: innocent.upstream },
    when: 'A peer ended where it may not: FIN without a Close frame, or inside a message, a head or a body.',
    causes:
      'A browser tab that was closed, a crashed process, a middlebox that cut the connection, an upstream that died while it answered. Look at `side`. Of an upstream, `on a connection that had served before`: it closes kept connections sooner than `upstream.keepAlive` does, and a request that was not safe to send again met its end.',
  },
  reset: {
    manner: 'deliver',
    http: status(502),
    websocket: { upstream: innocent.upstream },
    when: 'A peer sent RST, or its host answered none of our retransmissions; it is passed on to the other side as RST, behind what was accepted.',
    causes:
      'A process that was killed with unread data, a load balancer or a firewall that forgot the connection, or a peer that resets on purpose. Look at `side` and `detail`. Of an upstream, `on a connection that had served before` is explained under `aborted`.',
  },
  connect_refused: {
    manner: 'flush',
    http: status(502),
    key: 'upstream.retryFor',
    when: 'The upstream refused the connection, for as long as it was tried again.',
    causes:
      'The upstream is not running, not listening yet, or listens on another port or address than `upstream` says.',
  },
  connect_failed: {
    manner: 'flush',
    http: status(502),
    when: 'The upstream could not be reached: name resolution, routing, TLS, or descriptors ran out.',
    causes:
      'Look at `detail` for the errno: ENOTFOUND and EAI_AGAIN are names, EHOSTUNREACH and ENETUNREACH are routes, EMFILE is the descriptor limit. EADDRNOTAVAIL: all local ports to that address are taken (net.ipv4.ip_local_port_range; ' +
      'those of ended connections wait for a minute), or there is no local address of its family; name more upstream addresses, widen the range, or set `upstream.maxConnections`. Counted by `sidegate_upstream_no_local_port_total`.',
  },
  connect_timeout: {
    manner: 'flush',
    http: status(504),
    key: 'deadlines.connect',
    when: 'The upstream did not accept the connection in time.',
    causes: 'A full accept backlog (the upstream is stuck or overloaded), or a firewall that drops packets.',
  },
  no_upstream: {
    manner: 'flush',
    http: status(503),
    key: 'upstream.healthCheck, upstream.staleFor, upstream.queueTimeout',
    when: 'No upstream address was healthy or had room in time, or its name has been gone for `upstream.staleFor`.',
    causes:
      'All upstreams fail their health checks, the name of the service is not in DNS any more (scaled to zero, or renamed), or `upstream.maxConnections` is reached and the queue did not move within `upstream.queueTimeout`.',
  },
  handshake_timeout: {
    manner: 'drop',
    http: status(408),
    http2: { connection: 'SETTINGS_TIMEOUT' },
    key: 'deadlines.handshake',
    when: "The client's TLS handshake, PROXY header and request head were not complete in time, counted from the start.",
    causes:
      'A port scanner, a client that opens connections in advance, a slow-header attack, or a client that waits for the other side to speak first (MySQL, SMTP).',
  },
  response_timeout: {
    manner: 'flush',
    http: status(504),
    key: 'deadlines.response',
    when: 'The upstream accepted the connection but sent no response head (HTTP) or no 101 (WebSocket) in time.',
    causes: 'The upstream is stuck, or slower than `deadlines.response` allows.',
  },
  request_timeout: {
    manner: 'flush',
    http: status(408),
    key: 'deadlines.request',
    when: "The client's HTTP request body made no progress for that long.",
    causes: 'A client on a dead link, or a slow-body attack.',
  },
  idle_timeout: {
    manner: 'flush',
    http: status(408, 504),
    websocket: { offender: 1001, client: 1001, upstream: 1001 },
    key: 'deadlines.idle, deadlines.clientIdle, deadlines.upstreamIdle',
    when: 'No data went either way for `deadlines.idle`, or none came from the side whose own idle deadline is set. Inside the body of a plain HTTP answer the upstream has 60s unless `deadlines.upstreamIdle` is written. Pings and pongs are not data.',
    causes: 'A forgotten connection. Raise the deadline if the application is quiet by nature.',
  },
  write_timeout: {
    manner: 'reset',
    key: 'deadlines.write',
    when: 'Bytes waited for a peer and it took none of them for that long, or none of the last ones for `deadlines.close`: it is stalled.',
    causes:
      'A reader that stopped reading (a suspended laptop, a blocked handler, a debugger), or a peer that vanished: its host acknowledged nothing, not even a ping of ours. Look at `side` for who.',
  },
  half_close_timeout: {
    manner: 'reset',
    key: 'deadlines.halfClose',
    when: 'One side ended its half, and the other neither ended its own nor sent anything for that long.',
    causes:
      'An upstream that ignores the end of its input, or a client that half-closes and then waits for ever.',
  },
  ping_timeout: {
    manner: 'drop',
    http: status(408, 504),
    websocket: { upstream: innocent.upstream },
    key: 'websocket.ping.interval, websocket.ping.timeout, websocket.ping.misses',
    when: 'A WebSocket peer that has answered pings before left `websocket.ping.misses` of them unanswered in a row, though something took them for it, and sent nothing else; or a service that speaks HTTP/2 did, of ours at most every five minutes.',
    causes:
      'By default 95 s after its last word (two intervals of 25 s more than 25 s and the 20 s for an answer). A client that vanished behind a load balancer or a proxy, which takes the pings for it; or one whose process stands still. A client that vanished where nothing stands between ends with `write_timeout` after 55 to 60 s: its host does not even acknowledge a ping.',
  },
  lifetime_timeout: {
    manner: 'flush',
    http: status(503),
    websocket: { offender: 1001, client: 1001, upstream: 1001 },
    key: 'deadlines.lifetime',
    when: 'The connection reached its maximum age (less a random part, `deadlines.lifetimeJitter`).',
    causes: 'Configured: clients reconnect, which balances them over the pods.',
  },
  drain: {
    manner: 'flush',
    http: status(503),
    websocket: { offender: 1012, client: 1012, upstream: 1001 },
    key: 'drain',
    when: 'Sidegate was shutting down and asked the connection to go.',
    causes: 'A roll-out, a scale-down or a node that is emptied.',
  },
  drain_timeout: {
    manner: 'reset',
    key: 'drain.timeout',
    when: 'The connection was still there when the grace period of a drain was over.',
    causes:
      'A peer that does not answer a closing handshake, or a grace period shorter than the longest request.',
  },
  reloaded: {
    manner: 'flush',
    http: status(503),
    websocket: { offender: 1012, client: 1012, upstream: 1001 },
    key: 'listeners',
    when: 'A reload removed the listener that the connection came in by, or changed what it does with requests: a client of HTTP goes with its next answer then.',
    causes: 'A configuration change.',
  },
  rate_limited: {
    manner: 'flush',
    http: status(429),
    websocket: { offender: 1008, ...innocent },
    http2: { stream: 'ENHANCE_YOUR_CALM', connection: 'ENHANCE_YOUR_CALM' },
    key: 'limits',
    when: 'A peer went over a rate limit whose action is `close`.',
    causes: 'A greedy or broken client, or a limit that is too low: try `mode: observe` first.',
  },
  too_slow: {
    manner: 'reset',
    http: status(408),
    key: 'limits.minRate, websocket.messageTimeout',
    when: 'A peer kept moving, but below `limits.minRate`; or it began a WebSocket message and hardly went on (`websocket.messageTimeout`).',
    causes: 'A trickle attack, or a very poor link.',
  },
  slow_consumer: {
    manner: 'reset',
    websocket: { offender: 1008, ...innocent },
    key: 'websocket.slowConsumer',
    when: 'A reader could not keep up and its bounded queue overflowed.',
    causes: 'A client slower than what is sent to it; choose another policy or a larger queue.',
  },
  message_too_big: {
    manner: 'flush',
    http: status(413, 502),
    websocket: { offender: 1009, ...innocent },
    http2: { connection: 'ENHANCE_YOUR_CALM' },
    key: 'websocket.maxMessage, websocket.maxMessageToClient, websocket.maxFragments, http.maxHeader, http.maxBody',
    when: 'A message, its number of fragments, a head or a body went over its bound.',
    causes: 'An attack, or an application whose messages are larger than the default bounds.',
  },
  protocol_error: {
    manner: 'flush',
    http: status(400, 502),
    websocket: { offender: 1002, ...innocent },
    http2: { stream: 'PROTOCOL_ERROR', connection: 'PROTOCOL_ERROR' },
    when: 'A peer broke the protocol: a bad frame, head, 101 answer or PROXY header. `detail` names the rule.',
    causes:
      'A broken client or upstream, a client of another protocol (`detail` says what it looks like), or an attack.',
  },
  denied: {
    manner: 'drop',
    http: status(403),
    key: 'access, websocket.origins',
    when: 'The access list or the list of allowed origins refused the client.',
    causes: 'A page on another site, or a missing entry in the list.',
  },
  too_many: {
    manner: 'drop',
    http: status(503),
    key: 'limits.connections, limits.connectionsPerClient',
    when: 'The connection limit was reached, in total or for this client.',
    causes:
      'More clients than planned, a reconnect storm, or connections that do not end (look at the reasons of those that do).',
  },
  overloaded: {
    manner: 'reset',
    http: status(503),
    websocket: { offender: 1013, client: 1013, upstream: 1001 },
    http2: { connection: 'ENHANCE_YOUR_CALM' },
    key: 'memory',
    when: 'Shed to protect the pod: memory was running out.',
    causes: 'Too many stalled readers or too small a memory limit.',
  },
  upstream_unhealthy: {
    manner: 'flush',
    http: status(503),
    // The upstream is the offender: from its view a client goes away, and it cannot reconnect to that client.
    websocket: { offender: 1001, client: 1012, upstream: 1001 },
    key: 'upstream.healthCheck, upstream.onRemoved',
    when: 'The upstream address of this connection failed its health checks, or is gone from DNS and does not accept any more. For a connection of HTTP/2: one of its streams did not reach the service.',
    causes:
      'A dying upstream; clients reconnect to a healthy one. Over HTTP/2 the streams have the reason, the connection is asked to leave by GOAWAY, and its other streams are served to their end.',
  },
  killed: {
    manner: 'reset',
    http: status(503),
    websocket: { offender: 1001, client: 1001, upstream: 1001 },
    when: 'An operator ended it.',
    causes: '`sidegate kill ID` or the admin API.',
  },
  internal_error: {
    manner: 'reset',
    http: status(500),
    websocket: { offender: 1011, client: 1011, upstream: 1011 },
    http2: { stream: 'INTERNAL_ERROR', connection: 'INTERNAL_ERROR' },
    when: 'A bug in Sidegate: an invariant was broken. Only this connection was ended.',
    causes: 'Please report it with the log line; `detail` names the invariant.',
  },
} as const satisfies Record<string, ReasonRow>

export type Reason = keyof typeof reasons
export const reasonNames = Object.keys(reasons) as readonly Reason[]

export function reasonRow(reason: Reason): ReasonRow {
  return reasons[reason]
}

/** How, why, by whom and when one connection ended. `detail` is an errno or a parser's words, no label. */
export interface Close {
  readonly reason: Reason
  readonly side: Side
  readonly phase: Phase
  readonly detail?: string
  /** Overrides the table for a rule that has a status or a code of its own (426, 431; 1007). */
  readonly httpStatus?: number
  readonly websocketCode?: number
  /**
   * The code of the GOAWAY or RST_STREAM; of an upstream that of its own RST_STREAM, or a better one for the
   * client.
   */
  readonly http2Code?: number
  /**
   * A client left before it had said anything: load balancers see so, every few seconds, whether a port is
   * there.
   */
  readonly isProbe?: true
  /** The upstream has no room: it is there, and may have some for the next request. */
  readonly isFull?: true
}

export function probeClose(reason: 'eof' | 'reset', detail: string): Close {
  return { reason, side: 'client', phase: 'admit', detail, isProbe: true }
}

/** The side in a sentence: `by the client`, `by Sidegate`. */
export function bySide(side: Side): string {
  return side === 'sidegate' ? 'by Sidegate' : `by the ${side}`
}

export function makeClose(reason: Reason, side: Side, phase: Phase, detail?: string): Close {
  return detail === undefined ? { reason, side, phase } : { reason, side, phase, detail }
}

/** Whether our end must not wait for an earlier end under way: it hastens that end, whose reason stays. */
export function isForced(close: Close): boolean {
  return close.side === 'sidegate' && reasonRow(close.reason).manner === 'reset'
}

/**
 * Reasons that wait for a good moment: an answer in flight is finished first, and a begun frame is sent to
 * its end.
 */
const patientReasons: ReadonlySet<Reason> = new Set([
  'drain',
  'reloaded',
  'lifetime_timeout',
  'upstream_unhealthy',
])

export function isPatient(close: Close): boolean {
  return patientReasons.has(close.reason)
}

/** The client is asked to go and to come back: nothing is wrong with it, nor with its service. */
export function isFarewell(close: Close): boolean {
  return isPatient(close) || (close.reason === 'eof' && close.side === 'sidegate')
}

/** The HTTP status for a client whose request ends with `close`; null where none is due. */
export function httpStatus(close: Close): number | null {
  if (close.httpStatus !== undefined) return close.httpStatus
  const row = reasonRow(close.reason).http
  if (row === undefined) return null
  return close.side === 'upstream' ? row.upstream : row.client
}

/** The code of the Close frame for the peer `to`; null for no frame. Never 1004, 1005, 1006 or 1015. */
export function websocketCode(close: Close, to: PeerSide): number | null {
  const codes = reasonRow(close.reason).websocket
  if (codes === undefined) return null
  if (close.side !== to) return codes[to] ?? null
  return close.websocketCode ?? codes.offender ?? null
}

/**
 * The RST_STREAM code for a client's stream that ends with `close` before it is complete, or the GOAWAY code
 * for a connection.
 */
export function http2Code(close: Close, of: 'stream' | 'connection'): number {
  const name = http2CodeName(close.reason, of, close.side)
  const isPassed = close.side === 'client' || (of === 'stream' && aboutRequest.has(close.http2Code!))
  return isPassed && close.http2Code !== undefined ? close.http2Code : http2Codes[name]
}

/**
 * The codes of a service's RST_STREAM that tell its client something; the others are about the gate's
 * connection.
 */
const aboutRequest: ReadonlySet<number> = new Set([http2Codes.CANCEL, http2Codes.ENHANCE_YOUR_CALM])

/** An upstream failure ends the client's stream with INTERNAL_ERROR, the code of a server that fails. */
export function http2CodeName(reason: Reason, of: 'stream' | 'connection', by: Side): Http2CodeName {
  const row = reasonRow(reason).http2
  if (of === 'connection') return row?.connection ?? 'NO_ERROR'
  return by === 'upstream' ? 'INTERNAL_ERROR' : (row?.stream ?? 'CANCEL')
}

const resetCodes = new Set([
  'ECONNRESET',
  'EPIPE',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTCONN',
])

/** The code of an error that we make ourselves when a peer answers no PING. */
export const PING_TIMEOUT = 'PING_TIMEOUT'

/**
 * The Close for an error on an established connection; an unknown error counts as a reset, with its message
 * as detail.
 */
export function closeFromError(error: PeerError, side: PeerSide, phase: Phase): Close {
  const code = error.code ?? error.message
  if (code === PING_TIMEOUT) return makeClose('ping_timeout', side, phase, error.message)
  const detail = resetCodes.has(code) ? code : `${code}: ${error.message}`.slice(0, 120)
  const close = makeClose('reset', side, phase, detail)
  return error.http2Code === undefined ? close : { ...close, http2Code: error.http2Code }
}

/** An error of a connection, or the RST_STREAM of a stream, with its code. */
export interface PeerError extends NodeJS.ErrnoException {
  http2Code?: number
}

const systemCode = /^E(AI_)?[A-Z0-9]+$/

/** The Close for a failed dial; `reason` is a field of OpenSSL's errors. */
export function closeFromDialError(error: NodeJS.ErrnoException & { reason?: string }): Close {
  const { code = error.message, reason } = error
  if (code === 'ECONNREFUSED') return makeClose('connect_refused', 'upstream', 'connect', code)
  // The code alone is enough for system errors, but not for what TLS says of a certificate or a record.
  const isSystem = systemCode.test(code) || code === error.message
  return makeClose(
    'connect_failed',
    'upstream',
    'connect',
    isSystem ? code : `${code}: ${reason ?? error.message}`.slice(0, 160),
  )
}
