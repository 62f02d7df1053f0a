// The configuration file: every key with its kind, bounds, default and meaning, once. The types below, the validation,
// docs/configuration.md and the JSON Schema are made from this. To support a key that is `later()`, give it its kind.

import * as v from 'valibot'
import type { Address } from './address.ts'
import { http } from './http-keys.ts'
import type { About, Key } from './keys.ts'
import { changed, choice, count, derived, duration, flag, later, list, optional, percent, section, size, sizeOrShare, value } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { parseMode, parseName, parsePathOrOff } from './names.ts'
import { address, cidrs } from './shapes.ts'
import { listenerTls } from './tls-keys.ts'
import { OFF } from './units.ts'
import { upstream } from './upstream-keys.ts'
import { completeWebSocket, pingInterval, websocket } from './websocket-keys.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
/** A pod has fewer ports than this that make sense; it also bounds what is compared pair by pair. */
const MAX_LISTENERS = 256

/** A fraction at which something begins; `off` is infinity: never. */
function threshold(about: About): Key<number> {
  return changed(percent(about, { min: 0.1, max: 1, isOffAllowed: true }), (fraction) => (fraction === 0 ? Number.POSITIVE_INFINITY : fraction))
}

/** Defaults that others are compared with. */
export const defaults = { healthAddress: ':17021', adminAddress: '127.0.0.1:17020', high: '64KiB', connect: '5s', pingInterval, shedAt: '85%', refuseAt: '95%', minDuration: '10s', spread: '30s', drainTimeout: '60s' } as const

/** No time at all, for a duration that is waited rather than kept to. */
const noneIfOff = (ms: number): number => (ms === OFF ? 0 : ms)

const deadlines = section('How long may be waited, and for what. A deadline ends a connection with the reason of its name: `halfClose` with `half_close_timeout`.', {
  handshake: duration({ default: '10s', meaning: "For the client's PROXY header, TLS handshake and request head together, counted from the accept so that a trickle does not help.", innocent: 'A client that is slow but done within it.' }),
  connect: duration({ default: defaults.connect, meaning: 'For the upstream to accept the connection: the first answer for its name, its TLS handshake, and all dials that are tried, together.' }),
  response: duration({ default: '60s', meaning: 'For the head of the answer of the upstream, or its 101.', innocent: 'A slow endpoint: set it above the slowest answer.' }),
  request: duration({ default: '60s', meaning: 'Without a byte of the body of an HTTP request that the client owes.', innocent: 'A slow upload: every byte re-arms it.' }),
  idle: duration({ default: '1h', meaning: 'Without data either way. Pings and pongs are not data.', innocent: 'One-way push: data in either direction counts.' }),
  clientIdle: duration({ default: 'off', meaning: 'Without data from the client, whatever the upstream sends.' }),
  upstreamIdle: derived(duration({ derived: 'off, but 60s inside the body of a plain HTTP answer', meaning: 'Without data from the upstream, whatever the client sends.', innocent: 'By default an answer that is an event stream (`text/event-stream`), one whose request still comes in, WebSockets and tcp: they have `idle`.' })),
  write: derived(duration({ derived: '30s, and 5m for `protocol: tcp`', meaning: 'While bytes wait for a peer and it takes none of them: it is stalled.', innocent: 'A slow reader: every byte it takes re-arms it. On tcp a pager on the result of a query, a broker that stops reading publishers while its memory is short.' })),
  halfClose: duration({ default: '30s', meaning: 'From the end of one side to the end of the other. Keep it below 60s behind iptables NAT, which forgets a half-closed connection by then.', innocent: 'An answer still flowing after the end of the question: progress re-arms it.' }),
  close: duration({ default: '5s', meaning: 'Without progress, for the last bytes, and then for the closing handshake.' }),
  lifetime: duration({ default: 'off', meaning: 'The greatest age of a connection, busy or not; makes clients reconnect, which balances them over the pods.' }),
  lifetimeJitter: percent({ default: '10%', meaning: 'How much of `lifetime` may be taken off at random, so that not all reconnect at once. `lifetime` stays a hard maximum.' }, { min: 0.001, max: 0.5, isOffAllowed: true }),
})

const buffers = section('What may wait in memory for a peer, for each direction of each connection.', {
  high: size({ default: defaults.high, meaning: 'Reading stops when this much waits to be written.' }, { min: 4 * KIB, max: 16 * MIB, isOffAllowed: false }),
  low: derived(size({ derived: 'half of `high`', meaning: 'Reading goes on when no more than this waits.' }, { min: 1, max: 16 * MIB, isOffAllowed: false })),
})

/** Each limit may say for itself what `limits.mode` says for all. */
const ownMode = () => derived(choice({ derived: '`limits.mode`', meaning: '`observe` counts what would have been done, and does nothing.' }, ['enforce', 'observe']))

const perMeaning = 'Who shares the rate: `connection`, each has its own; `client`, all connections of a client (an IPv4 address, or an IPv6 /64); `listener`, all of it.'
const perConnection = () => choice({ default: 'connection', meaning: perMeaning }, ['connection', 'client', 'listener'])

const limits = section('What is refused or slowed down.', {
  connections: derived(count({ derived: '10000, or what the descriptor limit holds', meaning: 'The most connections at a time; more are refused with `too_many`. A written number that the descriptor limit does not hold is an error at start.' }, { min: 1, max: 1_000_000, isOffAllowed: false })),
  connectionsPerClient: count({ default: 'off', meaning: 'The most connections at a time of one client (an IPv4 address, or an IPv6 /64); more are refused with `too_many`.', innocent: 'Clients behind one NAT address count as one: set it above what an office has.' }, { min: 1, max: 1_000_000, isOffAllowed: true }),
  newConnections: section('How many connections begin in a second.', {
    rate: count({ default: 'off', meaning: 'New connections a second.' }, { min: 1, max: 1_000_000, isOffAllowed: true }),
    burst: count({ default: 100, meaning: 'So many may come at once.', innocent: 'A page that opens a handful at a time.' }, { min: 1, max: 1_000_000, isOffAllowed: false }),
    per: choice({ default: 'listener', meaning: 'Who shares the rate: `listener`, all clients; `client`, each for itself, and then `onExceed` must be `close`.' }, ['listener', 'client']),
    onExceed: choice({ default: 'delay', meaning: '`delay` lets new connections wait, unread, for at most `deadlines.handshake`; `close` refuses them with `rate_limited`.' }, ['delay', 'close']),
    mode: ownMode(),
  }),
  bytes: section('Bytes a second that are read, in each direction for itself.', {
    rate: size({ default: 'off', meaning: 'Bytes a second.' }, { min: KIB, max: 1024 * GIB, isOffAllowed: true }),
    burst: size({ default: '1MiB', meaning: 'So many may come at once. Where it delays, at least one read (64 KiB) and what flows in 40 ms.', innocent: 'A page, an image: what is short is not slowed down.' }, { min: 64 * KIB, max: 1024 * GIB, isOffAllowed: false }),
    per: perConnection(),
    onExceed: choice({ default: 'delay', meaning: '`delay` reads no faster, so that nothing is lost and the sender waits; `close` ends the connection with `rate_limited`.' }, ['delay', 'close']),
    mode: ownMode(),
  }),
  minRate: section('The least speed of a peer that owes something (a WebSocket message, an HTTP body) or is owed something (queued bytes); slower ones end with `too_slow`.', {
    bytes: size({ default: 'off', meaning: 'Bytes a second in the mean, from the moment when it began to owe, or to be owed.', innocent: 'Who is merely idle, and who is not read because of a limit or a slow other side.' }, { min: 1, max: GIB, isOffAllowed: true }),
    after: duration({ default: '10s', meaning: 'Nothing is judged before that.' }, { isOffAllowed: false }),
    mode: ownMode(),
  }),
  messages: section('WebSocket messages a second, in each direction for itself. Control frames and tiny fragments count as messages.', {
    rate: count({ default: 'off', meaning: 'Messages a second.' }, { min: 1, max: 1_000_000, isOffAllowed: true }),
    burst: count({ default: 100, meaning: 'So many may come at once. Where it delays, at least one and what flows in 40 ms.', innocent: 'A client that says much at its start.' }, { min: 1, max: 1_000_000, isOffAllowed: false }),
    per: perConnection(),
    onExceed: choice({ default: 'delay', meaning: '`delay` reads no faster, so that nothing is lost and the sender waits; `close` ends the connection with `rate_limited`; `drop` (only in `websocket.mode: messages`) drops whole messages that come without a token, and nobody waits: what has begun goes on in any case, and pings and pongs are dropped like messages but for one a second, which a heartbeat may need.' }, ['delay', 'close', 'drop']),
    mode: ownMode(),
  }),
  mode: choice({ default: 'enforce', meaning: '`observe` counts what the limits would have done (`sidegate_observed_total`), and does nothing. What the descriptors hold is a limit in either mode.' }, ['enforce', 'observe']),
})

const listenerKeys = section('One port to listen on, and the service behind it.', {
  name: derived(value<string>({
    type: 'name',
    remedy: 'write a name of letters, digits, dots, dashes and underscores',
    json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' }),
    read: parseName,
  }, { derived: 'protocol and port, `http-17080`', meaning: 'Names the listener in log lines and metric labels.' })),
  address: address('listen', { meaning: 'Where clients connect.' }),
  mode: value<number | null>({
    type: 'file mode in quotes, or `off`',
    remedy: 'write it in quotes, such as "0660"',
    json: fromEnvironment({ type: 'string', pattern: '^(off|0?[0-7]{3})$' }),
    read: parseMode,
  }, { default: 'off', meaning: 'Who may connect to an `address` that is a Unix socket: whoever may write to it. `off` leaves that to the umask, which usually lets nobody but the user of the gate.' }),
  protocol: choice({ meaning: '`http` for plain HTTP and WebSocket, `tcp` for opaque bytes.' }, ['http', 'tcp']),
  upstream,
  deadlines,
  buffers,
  limits,
  websocket,
  http,
  access: section('Who may connect, by the address of the client. Others are refused with `denied`.', {
    allow: cidrs('Networks of clients that may connect, and no others; an empty list allows all.'),
    deny: cidrs('Networks of clients that may not connect, whatever `allow` says.'),
  }),
  proxyProtocol: section('The PROXY protocol: proxies before this one say who their client is. That client is then meant wherever a client is.', {
    accept: choice({ default: 'off', meaning: 'The version of the header that connections from `trusted` must begin with.' }, ['off', 'v1', 'v2', 'any']),
    trusted: cidrs('Networks of proxies that must send the header, and are believed. All others are clients of their own, and their bytes are not looked at. A listener on a Unix socket trusts whoever reaches that.'),
  }),
  tls: optional(listenerTls),
  tcpKeepAlive: duration({ default: '15s', meaning: 'Silence after which the kernel probes a peer; finds those that vanished without a word.' }, { min: 1000, max: 9 * 3_600_000 }),
  noDelay: flag({ default: true, meaning: 'Small writes go out at once (TCP_NODELAY).' }),
})

const WRITE_MS = 30_000
/** The two sides of an opaque protocol pause for reasons of their own; what they may hold meanwhile is bounded all the same. */
const TCP_WRITE_MS = 5 * 60_000

/** What the two defaults of `deadlines.upstreamIdle` and those made from other keys come to. */
function complete(read: v.InferOutput<typeof listenerKeys>) {
  const { upstreamIdleMs, writeMs = read.protocol === 'tcp' ? TCP_WRITE_MS : WRITE_MS, ...otherDeadlines } = read.deadlines
  return {
    ...read,
    name: read.name ?? defaultName(read.protocol, read.address),
    deadlines: { ...otherDeadlines, writeMs, upstreamIdleMs: upstreamIdleMs ?? OFF, answerIdleMs: upstreamIdleMs ?? 60_000 },
    buffers: { highBytes: read.buffers.highBytes, lowBytes: read.buffers.lowBytes ?? Math.floor(read.buffers.highBytes / 2) },
    websocket: completeWebSocket(read.websocket, read.upstream.addresses),
    limits: completeLimits(read.limits),
    tls: read.tls ?? null,
    upstream: { ...read.upstream, retryForMs: read.upstream.retryForMs ?? null, tls: read.upstream.tls ?? null },
  }
}

function completeLimits({ connections, connectionsPerClient, newConnections, bytes, minRate, messages, mode }: v.InferOutput<typeof limits>) {
  const isEnforced = (own: 'enforce' | 'observe' | undefined): boolean => (own ?? mode) === 'enforce'
  return {
    connections: connections ?? null,
    connectionsPerClient,
    newConnections: { perSec: newConnections.rate, burst: newConnections.burst, per: newConnections.per, onExceed: newConnections.onExceed, isEnforced: isEnforced(newConnections.mode) },
    bytes: { perSec: bytes.rateBytes, burst: bytes.burstBytes, per: bytes.per, onExceed: bytes.onExceed, isEnforced: isEnforced(bytes.mode) },
    messages: { perSec: messages.rate, burst: messages.burst, per: messages.per, onExceed: messages.onExceed, isEnforced: isEnforced(messages.mode) },
    minRate: { bytesPerSec: minRate.bytesBytes, afterMs: minRate.afterMs, isEnforced: isEnforced(minRate.mode) },
    isEnforced: mode === 'enforce',
  }
}

/** `http-17080`; a Unix socket has no port and takes the name of its file. */
export function defaultName(protocol: string, address: Address): string {
  if (address.kind === 'tcp') return `${protocol}-${address.port}`
  const file = address.path.slice(address.path.lastIndexOf('/') + 1).replaceAll(/[^\w.-]/g, '-')
  return `${protocol}-${file}`.slice(0, 63)
}

const listener = changed(listenerKeys, complete)

export const configKey = section('The configuration of Sidegate.', {
  health: section('The health server: probes and metrics, read only.', {
    address: address('listen', { default: defaults.healthAddress, meaning: 'Where `/livez`, `/readyz`, `/startupz` and `/metrics` are served.' }),
  }),
  admin: section('The admin server.', {
    address: address('listen', { default: defaults.adminAddress, meaning: 'Where operators look at and end connections; without `tokenFile` on loopback or a Unix socket only.' }),
    tokenFile: value<string | null>({
      type: 'absolute path or `off`',
      remedy: 'write an absolute path, such as /run/secrets/sidegate/token',
      json: fromEnvironment({ type: 'string', pattern: '^(off|/.*)$' }),
      read: parsePathOrOff,
    }, { default: 'off', meaning: 'A file with a token of 16 bytes or more. Every request to the admin server must then carry it (`Authorization: Bearer TOKEN`), from loopback too. Read again when it changes.' }),
    token: later('not supported: whoever can read the configuration would have it; write the token to a file and name that in tokenFile'),
  }),
  log: section('One line for each connection, at its end.', {
    level: choice({ default: 'info', meaning: 'The least severe lines that are written.' }, ['error', 'warn', 'info', 'debug']),
    format: choice({ default: 'json', meaning: 'One JSON object, or one readable text, a line.' }, ['json', 'text']),
    requests: flag({ default: false, meaning: 'One more line for each HTTP request.' }),
    probes: flag({ default: false, meaning: 'Connections that their client ended without a byte either way, such as the probes of a load balancer, are logged like all others; else only at level `debug`. They are counted in either case.' }),
  }),
  drain: section('How it empties itself when it is told to go (SIGTERM, `POST /drain`). `minDuration` and `spread` together are less than `timeout`.', {
    minDuration: changed(duration({ default: defaults.minDuration, meaning: 'From the beginning, while it still accepts: readiness fails, and HTTP answers say `Connection: close`.', innocent: 'Clients of a load balancer that has not noticed yet.' }), noneIfOff),
    spread: changed(duration({ default: defaults.spread, meaning: 'Over which connections are asked to go, each at a random moment, idle ones first.', innocent: 'The pods that the clients reconnect to.' }), noneIfOff),
    timeout: duration({ default: defaults.drainTimeout, meaning: 'From the beginning to the reset of those that are left.', innocent: 'Whoever goes when asked, and answers that end by then.' }, { isOffAllowed: false }),
    tcp: choice({ default: 'wait', meaning: '`wait` leaves connections of `protocol: tcp` alone, which can only be ended, until the last `spread` before `timeout`; those that wait for nothing and are quiet the longest are ended first. `spread` ends them with all others. Connections that were owed bytes or an answer then are counted as cut (`sidegate_drain_cut_total`).', innocent: 'A client that waits for an answer, such as that of a long query.' }, ['wait', 'spread']),
  }),
  memory: section("What is done before the kernel ends the process for want of memory; docs/sizing.md says how to choose. Percentages are of the container's limit, or of the memory of the machine where there is none.", {
    buffered: sizeOrShare({ default: '25%', meaning: 'The most that waits in all queues together. Beyond it connections end with `overloaded`, those of the largest stalled queues first.', innocent: 'A transfer that makes progress: it is the last to go.' }, { min: 64 * KIB, max: 1024 * GIB, isOffAllowed: true }),
    shedAt: threshold({ default: defaults.shedAt, meaning: 'From this much memory used, or queued of `buffered`, idle deadlines (`idle`, `clientIdle`, `upstreamIdle`, `http.keepAlive`) shrink, down to a tenth at `refuseAt`.', innocent: 'A deadline that is off stays off; what has a heartbeat every few minutes stays.' }),
    refuseAt: threshold({ default: defaults.refuseAt, meaning: 'From this much on new connections and requests are refused with `overloaded`, and connections with the largest stalled queues end with it.', innocent: 'A transfer that makes progress, and all that waits for nothing of ours.' }),
  }),
  workers: later(),
  listeners: list('The ports to listen on.', listener, { min: 1, max: MAX_LISTENERS, remedy: 'write at least one listener' }),
})

/** A whole configuration, every default filled in, units in the names; `off` is infinity. */
export type Config = v.InferOutput<typeof configKey>
export type ListenerConfig = Config['listeners'][number]
