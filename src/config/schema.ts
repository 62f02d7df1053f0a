// The configuration file: every key with its kind, bounds, default and meaning, once. The types below, the validation,
// docs/configuration.md and the JSON Schema are made from this. To support a key that is `later()`, give it its kind.

import type * as v from 'valibot'
import type { Address, AddressUse } from './address.ts'
import { addressRemedy, parseAddress } from './address.ts'
import { cidrRemedy, parseCidr } from './cidr.ts'
import type { Cidr } from './cidr.ts'
import type { About, Key } from './keys.ts'
import { changed, choice, count, derived, duration, either, flag, later, list, optional, percent, section, size, value } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { parseFile, parseName, parseOrigin, parseServerName } from './names.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB
/** A pod has fewer ports than this that make sense; it also bounds what is compared pair by pair. */
const MAX_LISTENERS = 256

function address(use: AddressUse, about: About): Key<Address> {
  const host = String.raw`(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)`
  const pattern = `^(${use === 'listen' ? `${host}?` : host}:[0-9]{1,5}|unix:/.+)$`
  return value({ type: 'address', remedy: addressRemedy(use), json: fromEnvironment({ type: 'string', pattern }), read: (input) => parseAddress(input, use) }, about)
}

function cidr(about: About): Key<Cidr> {
  const pattern = String.raw`^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`
  return value({ type: 'network', remedy: cidrRemedy, json: fromEnvironment({ type: 'string', pattern }), read: parseCidr }, about)
}

function cidrs(meaning: string): Key<Cidr[]> {
  return list(meaning, cidr({ meaning: 'One network.' }), { min: 0, max: 1000, remedy: 'write a list of networks such as [10.0.0.0/8]' })
}

/** A file in PEM. Without a default it must be written; where it may be left out, say what happens then. */
function file(about: About): Key<string> {
  return value<string>({ type: 'file', remedy: 'write the path of a file', json: fromEnvironment({ type: 'string', pattern: String.raw`^[^\0]+$` }), read: parseFile }, about)
}

/** Defaults that others are compared with. */
export const defaults = { healthAddress: ':17021', adminAddress: '127.0.0.1:17020', high: '64KiB', pingInterval: '25s' } as const

const upstreamTls = section('TLS to the upstream. Its certificate is always verified.', {
  ca: derived(file({ derived: "those that Node brings along", meaning: 'The authorities that may have signed its certificate, in PEM.' })),
  cert: derived(file({ derived: 'none is shown', meaning: 'The certificate that is shown to it, in PEM, intermediate ones included; with `key`.' })),
  key: derived(file({ derived: 'none', meaning: 'The private key of `cert`, in PEM.' })),
  serverName: derived(value<string>({
    type: 'name', remedy: 'write the name in its certificate', json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9._:-]{1,253}$' }), read: parseServerName,
  }, { derived: 'the host of the address', meaning: 'The name that its certificate must have; sent to it as SNI.' })),
})

const upstreamMeaning = 'Where the legacy service listens.'
interface UpstreamConfig {
  address: Address
  tls: v.InferOutput<typeof upstreamTls> | null
  proxyProtocol: 'off' | 'v1' | 'v2'
}

const upstream = either(
  changed(address('dial', { meaning: upstreamMeaning }), (one): UpstreamConfig => ({ address: one, tls: null, proxyProtocol: 'off' })),
  changed(
    section(upstreamMeaning, {
      addresses: list('Where the legacy service listens.', address('dial', { meaning: 'One address.' }), { min: 1, max: 1, remedy: 'write a list of one address, such as [127.0.0.1:8080]' }),
      balance: later(),
      maxConnections: later(),
      queueTimeout: later(),
      tls: optional(upstreamTls),
      proxyProtocol: choice({ default: 'off', meaning: 'Begins each connection with the address of its client, in a PROXY header of that version. With plain HTTP each request then has a connection of its own.' }, ['off', 'v1', 'v2']),
      healthCheck: later(),
    }),
    // The list holds exactly one, so the first is there whenever this runs.
    ({ addresses, tls, proxyProtocol }): UpstreamConfig => ({ address: addresses[0] as Address, tls: tls ?? null, proxyProtocol }),
  ),
)

const deadlines = section('How long may be waited, and for what. A deadline ends a connection with the reason of its name: `halfClose` with `half_close_timeout`.', {
  handshake: duration({ default: '10s', meaning: "For the client's PROXY header, TLS handshake and request head together, counted from the accept so that a trickle does not help.", innocent: 'A client that is slow but done within it.' }),
  connect: duration({ default: '5s', meaning: 'For the upstream to accept the connection, its TLS handshake included.' }),
  response: derived(duration({ derived: '60s, and 10s for the 101 of a WebSocket', meaning: 'For the head of the answer of the upstream, or its 101.', innocent: 'A slow endpoint: set it above the slowest answer.' })),
  request: duration({ default: '60s', meaning: 'Without a byte of the body of an HTTP request that the client owes.', innocent: 'A slow upload: every byte re-arms it.' }),
  idle: duration({ default: '1h', meaning: 'Without data either way. Pings and pongs are not data.', innocent: 'One-way push: data in either direction counts.' }),
  clientIdle: duration({ default: 'off', meaning: 'Without data from the client, whatever the upstream sends.' }),
  upstreamIdle: duration({ default: 'off', meaning: 'Without data from the upstream, whatever the client sends.' }),
  write: duration({ default: '30s', meaning: 'While bytes wait for a peer and it takes none of them: it is stalled.', innocent: 'A slow reader: every byte it takes re-arms it.' }),
  halfClose: duration({ default: '30s', meaning: 'From the end of one side to the end of the other. Keep it below 60s behind iptables NAT, which forgets a half-closed connection by then.', innocent: 'An answer still flowing after the end of the question: progress re-arms it.' }),
  close: duration({ default: '5s', meaning: 'For the closing handshake and the last bytes.' }),
  lifetime: duration({ default: 'off', meaning: 'The greatest age of a connection, busy or not; makes clients reconnect, which balances them over the pods.' }),
  lifetimeJitter: percent({ default: '10%', meaning: 'How much of `lifetime` may be taken off at random, so that not all reconnect at once. `lifetime` stays a hard maximum.' }, { min: 0.001, max: 0.5, isOffAllowed: true }),
})

const buffers = section('What may wait in memory for a peer, for each direction of each connection.', {
  high: size({ default: defaults.high, meaning: 'Reading stops when this much waits to be written.' }, { min: 4 * KIB, max: 16 * MIB, isOffAllowed: false }),
  low: derived(size({ derived: 'half of `high`', meaning: 'Reading goes on when no more than this waits.' }, { min: 1, max: 16 * MIB, isOffAllowed: false })),
})

const ping = section('Pings to both sides of a WebSocket. Any bytes from a side answer for it; an upstream is held to pings only once it has answered one.', {
  interval: duration({ default: defaults.pingInterval, meaning: 'Between two pings to a silent side; `off` sends none.' }),
  timeout: derived(duration({ derived: '20s, or `interval` if that is shorter', meaning: 'For an answer to a ping.', innocent: 'A busy side that pongs late: any bytes from it count.' }, { isOffAllowed: false })),
})

const websocket = section('WebSocket connections (`protocol: http`).', {
  mode: choice({ default: 'frames', meaning: 'Frames are streamed as they come; compressed ones pass.' }, ['frames'], ['messages']),
  ping,
  maxMessage: size({ default: '1MiB', meaning: 'The largest message, as it is on the wire.' }, { min: 1, max: GIB, isOffAllowed: true }),
  maxFragments: count({ default: 1024, meaning: 'The most fragments of one message.' }, { min: 1, max: 1_000_000, isOffAllowed: true }),
  origins: list('Allowed values of the `Origin` header, such as `https://example.com`; an empty list allows all.', value<string>({
    type: 'origin',
    remedy: 'write an origin such as https://example.com',
    json: fromEnvironment({ type: 'string', pattern: String.raw`^(null|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+)$` }),
    read: parseOrigin,
  }, { meaning: 'One allowed origin.' }), { min: 0, max: 10_000, remedy: 'write a list of origins such as [https://example.com]' }),
  slowConsumer: later(),
  compression: choice({ default: 'pass', meaning: '`pass` leaves the compression that client and upstream agree on, `strip` removes the offer.' }, ['pass', 'strip'], ['on', 'off']),
})

const listenerKeys = section('One port to listen on, and the service behind it.', {
  name: derived(value<string>({
    type: 'name',
    remedy: 'write a name of letters, digits, dots, dashes and underscores',
    json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' }),
    read: parseName,
  }, { derived: 'protocol and port, `http-17080`', meaning: 'Names the listener in log lines and metric labels.' })),
  address: address('listen', { meaning: 'Where clients connect.' }),
  protocol: choice({ meaning: '`http` for plain HTTP and WebSocket, `tcp` for opaque bytes.' }, ['http', 'tcp']),
  upstream,
  deadlines,
  buffers,
  limits: section('What is refused or slowed down.', {
    connections: derived(count({ derived: '10000, or what the descriptor limit holds', meaning: 'The most connections at a time; more are refused with `too_many`. A written number that the descriptor limit does not hold is an error at start.' }, { min: 1, max: 1_000_000, isOffAllowed: false })),
    connectionsPerClient: later(),
    newConnections: later(),
    bytes: later(),
    minRate: later(),
    messages: later(),
    mode: later(),
  }),
  websocket,
  http: section('HTTP requests (`protocol: http`).', {
    maxHeader: size({ default: '16KiB', meaning: 'The largest head of a request or an answer.' }, { min: KIB, max: MIB, isOffAllowed: false }),
    maxBody: size({ default: 'off', meaning: 'The largest body of a request.' }, { min: 1, max: 1024 * GIB, isOffAllowed: true }),
    keepAlive: duration({ default: '65s', meaning: 'For the next request of a client on the same connection.' }),
    trustForwarded: cidrs('Networks of proxies before this one: from them `X-Forwarded-*` and `Forwarded` are added to, from all others replaced.'),
  }),
  access: section('Who may connect, by the address of the client. Others are refused with `denied`.', {
    allow: cidrs('Networks of clients that may connect, and no others; an empty list allows all.'),
    deny: cidrs('Networks of clients that may not connect, whatever `allow` says.'),
  }),
  proxyProtocol: section('The PROXY protocol: proxies before this one say who their client is. That client is then meant wherever a client is.', {
    accept: choice({ default: 'off', meaning: 'The version of the header that connections from `trusted` must begin with.' }, ['off', 'v1', 'v2', 'any']),
    trusted: cidrs('Networks of proxies that must send the header, and are believed. All others are clients of their own, and their bytes are not looked at. A listener on a Unix socket trusts whoever reaches that.'),
  }),
  tls: optional(section('TLS with clients. The files are read again when they change.', {
    cert: file({ meaning: 'The certificate, in PEM, intermediate ones included.' }),
    key: file({ meaning: 'Its private key, in PEM.' }),
    clientCa: derived(file({ derived: 'clients need no certificate', meaning: 'Clients must show a certificate that one of these authorities has signed, in PEM.' })),
    minVersion: choice({ default: 'TLSv1.2', meaning: 'The oldest version of TLS that is spoken.' }, ['TLSv1.2', 'TLSv1.3']),
  })),
  tcpKeepAlive: duration({ default: '15s', meaning: 'Silence after which the kernel probes a peer; finds those that vanished without a word.' }, { min: 1000, max: 9 * 3_600_000 }),
  noDelay: flag({ default: true, meaning: 'Small writes go out at once (TCP_NODELAY).' }),
})

/** What the two defaults of `deadlines.response` and those made from other keys come to. */
function complete(read: v.InferOutput<typeof listenerKeys>) {
  const { responseMs, ...otherDeadlines } = read.deadlines
  const { interval, timeout } = { interval: read.websocket.ping.intervalMs, timeout: read.websocket.ping.timeoutMs }
  return {
    ...read,
    name: read.name ?? defaultName(read.protocol, read.address),
    deadlines: { ...otherDeadlines, responseMs: responseMs ?? 60_000, upgradeMs: responseMs ?? 10_000 },
    buffers: { highBytes: read.buffers.highBytes, lowBytes: read.buffers.lowBytes ?? Math.floor(read.buffers.highBytes / 2) },
    limits: { ...read.limits, connections: read.limits.connections ?? null },
    tls: read.tls ?? null,
    websocket: { ...read.websocket, ping: { intervalMs: interval, timeoutMs: timeout ?? Math.min(20_000, interval) } },
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
    address: address('listen', { default: defaults.adminAddress, meaning: 'Where operators look at and end connections; loopback or a Unix socket only.' }),
    tokenFile: later(),
    token: later(),
  }),
  log: section('One line for each connection, at its end.', {
    level: choice({ default: 'info', meaning: 'The least severe lines that are written.' }, ['error', 'warn', 'info', 'debug']),
    format: choice({ default: 'json', meaning: 'One JSON object, or one readable text, a line.' }, ['json', 'text']),
    requests: flag({ default: false, meaning: 'One more line for each HTTP request.' }),
  }),
  drain: later(),
  memory: later(),
  workers: later(),
  listeners: list('The ports to listen on.', listener, { min: 1, max: MAX_LISTENERS, remedy: 'write at least one listener' }),
})

/** A whole configuration, every default filled in, units in the names; `off` is infinity. */
export type Config = v.InferOutput<typeof configKey>
export type ListenerConfig = Config['listeners'][number]
