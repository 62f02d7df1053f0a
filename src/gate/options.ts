// The configuration mapped to the options of each part: the only place where the names of both meet.
//
// Deadlines are passed on as `Live` values, read at each judgement, so that a reload reaches open
// connections.

import type { AccessRules } from '../admission/access.ts'
import type { ProxyRules } from '../admission/pending-client.ts'
import type { TlsGateOptions } from '../admission/tls-gate.ts'
import { formatAddress } from '../config/address.ts'
import type { Address } from '../config/address.ts'
import { contains, trusts } from '../config/networks.ts'
import type { Config, ListenerConfig } from '../config/schema.ts'
import type { ReadOptions } from '../endpoint/socket-endpoint.ts'
import type { ClientOptions } from '../limits/clients.ts'
import type { RateRulesOptions } from '../limits/rate-rules.ts'
import { restartSections } from '../config/reload-effect.ts'
import type { ListenerAddress } from '../listener/listener.ts'
import type { Live } from '../core/live.ts'
import { ConfigError, isOwnWant } from '../core/errors.ts'
import { isSame } from '../core/late.ts'
import type { PairOptions } from '../pair/pair.ts'
import type { ForwardingOptions } from '../http1/forwarding.ts'
import type { HttpOptions } from '../http1/options.ts'
import type { ServeOptions } from '../opening/opening.ts'
import { hostOf } from '../upstream/dial.ts'
import type { SecureOptions, Target } from '../upstream/dial.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { UpstreamOptions } from '../upstream/options.ts'
import type { WebSocketOptions } from '../websocket/serve.ts'
import type { ProxyVersion } from '../upstream/proxy-header.ts'

/**
 * The most that one read brings, and the least that a half's buffer may hold. Measured: smaller reads double
 * the cost of 64 KiB messages.
 */
export const READ_BYTES = 64 * 1024

/**
 * The shortest wait that a sweep judges: a deadline of 50 ms needs a sweep more often than every quarter of a
 * second.
 */
export function shortestDeadline({ deadlines, websocket, http, limits, upstream }: ListenerConfig): number {
  const waits = [
    ...(isOn(limits.minRate.bytesPerSec) ? [limits.minRate.afterMs] : []),
    ...Object.values({ ...deadlines, lifetimeJitter: Number.POSITIVE_INFINITY }),
    websocket.ping.intervalMs,
    websocket.ping.timeoutMs,
    websocket.messageTimeoutMs,
    http.keepAliveMs,
    upstream.queueTimeoutMs,
  ]
  return Math.min(...waits)
}

export function refuseWhatDoesNotFit(config: Config, fits: number): void {
  const problems = config.listeners.flatMap(({ limits }, index) => {
    if (limits.connections === null || limits.connections <= fits) return []
    const message = `got ${limits.connections}, but the descriptor limit holds ${fits} (two for each connection, and a reserve): write at most ${fits} or raise the limit`
    return [{ line: 0, column: 0, path: `listeners[${index}].limits.connections`, message }]
  })
  if (problems.length > 0) throw new ConfigError('configuration', problems)
}

export function cannotBind(key: string, address: Address, error: NodeJS.ErrnoException): Error {
  const why = {
    EADDRINUSE: 'the address is in use, write another, or end what listens there',
    EACCES: 'not permitted',
    EADDRNOTAVAIL: 'no such address on this machine, write one that it has',
  }[error.code ?? '']
  const message = `cannot listen on ${formatAddress(address)}: ${why ?? error.message}`
  const isPassing = isOwnWant(error.code) ? { isPassing: true } : {}
  return new ConfigError('configuration', [{ line: 0, column: 0, path: key, message, ...isPassing }])
}

/** The sections of a configuration that stay as they are while the process lives. */
type Sections = Readonly<Record<string, unknown>>

/** Keys whose new values wait for a restart (config/reload-effect.ts). */
export function restartRequired(running: Sections, next: Sections): string[] {
  return restartSections.flatMap((name) => changedKeys(name, running[name], next[name]))
}

/** `next` with the values of `running` where a change waits for a restart. */
export function keepUntilRestart(running: Config, next: Config): Config {
  const kept = Object.entries(running).filter(([name]) => restartSections.includes(name))
  return { ...next, ...Object.fromEntries(kept) }
}

function changedKeys(path: string, running: unknown, next: unknown): string[] {
  if (isSame(running, next)) return []
  if (!isSection(running) || !isSection(next) || 'kind' in running) return [path.replace(/(Ms|Bytes)$/, '')]
  return Object.keys({ ...running, ...next }).flatMap((key) =>
    changedKeys(`${path}.${key}`, running[key], next[key]),
  )
}

function isSection(value: unknown): value is Sections {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The error for a needed file that cannot be used, at the key that names it. */
export function cannotUse(key: string, file: string, problem: string): ConfigError {
  return new ConfigError('configuration', [{ line: 0, column: 0, path: key, message: `${file} ${problem}` }])
}

/** `port`: as another gate has bound it; null where this one is the first, or alone. */
export function toListener(
  { address, mode }: ListenerConfig,
  { port, isAlone }: { port: number | null; isAlone: boolean },
): ListenerAddress {
  if (address.kind === 'unix') return { path: address.path, mode }
  const shared = isAlone ? 'no' : port === null ? 'first' : 'later'
  return { host: address.host, port: port ?? address.port, shared }
}

export function toListen(address: Address): { host?: string; port: number } | { path: string } {
  if (address.kind === 'unix') return { path: address.path }
  return address.host === null ? { port: address.port } : { host: address.host, port: address.port }
}

/** The deadlines of a listener and all its successors. */
export type LiveDeadlines = Live<ReturnType<typeof deadlinesOf>>

/** The values that judge open connections too, from the moment of a reload. */
export function deadlinesOf({ deadlines, websocket: { ping, messageTimeoutMs } }: ListenerConfig) {
  return { ...deadlines, ping, messageTimeoutMs }
}

/** `secure`: TLS to the upstream, whose files TlsParts reads. */
export function upstreamOptions(
  config: ListenerConfig,
  deadlines: LiveDeadlines,
  secure: SecureOptions | null,
): UpstreamOptions {
  const { upstream, noDelay } = config
  const {
    addresses,
    balance,
    maxConnections,
    queueTimeoutMs,
    retryForMs,
    staleForMs,
    onRemoved,
    healthCheck,
    keepAliveMs,
    maxIdle,
  } = upstream
  const { type, status, ...check } = healthCheck
  return {
    addresses: addresses.map(toTarget),
    balance,
    maxConnections,
    queueTimeoutMs,
    deadlines,
    retryForMs: retryForMs === Infinity ? 0 : retryForMs,
    staleForMs,
    onRemoved,
    noDelay,
    secure,
    proxyProtocol: proxyVersion(config),
    pool: { keepAliveMs, maxIdle },
    healthCheck:
      type === 'off'
        ? null
        : { type, isHttp2: upstream.protocol === 'h2c', status: status.map(rangeOf), ...check },
  }
}

/** Null where every address is allowed. */
export function accessRules({ access: { allow, deny } }: ListenerConfig): AccessRules | null {
  if (allow.length === 0 && deny.length === 0) return null
  return { isAllowed: allow.length === 0 ? null : contains(allow), isDenied: contains(deny) }
}

/** Null where no peer may name its clients. */
export function namesClients({ protocol, http }: ListenerConfig): ((ip: string | null) => boolean) | null {
  return protocol === 'tcp' || http.trustForwarded.length === 0 ? null : trusts(http.trustForwarded)
}

export function proxyRules({ proxyProtocol: { accept, trusted } }: ListenerConfig): ProxyRules | null {
  return accept === 'off' ? null : { versions: accept, isTrusted: contains(trusted) }
}

export function tlsGateOptions({ protocol, tls, http }: ListenerConfig): TlsGateOptions | null {
  return tls === null
    ? null
    : {
        minVersion: tls.minVersion,
        ciphers: tls.ciphers,
        protocols: protocol === 'http' ? http.versions : applicationProtocols(protocol, tls.alpn),
      }
}

/** The name that the upstream's certificate must contain, and the protocols offered to it. */
export function secureNames({
  upstream: { tls, protocol: spoken },
  protocol,
}: ListenerConfig): Pick<SecureOptions, 'serverName' | 'protocols'> {
  return {
    serverName: tls?.serverName ?? null,
    protocols: spoken === 'h2c' ? ['h2'] : applicationProtocols(protocol, tls?.alpn ?? []),
  }
}

/** Whether anything uses the facts of clients' handshakes. */
export function asksTls({ tls, upstream: { proxyProtocol } }: ListenerConfig): boolean {
  return tls !== null && (tls.clientCa !== undefined || tls.alpn.length > 0 || proxyProtocol === 'v2')
}

/** ALPN: only the operator knows the name of a protocol of opaque bytes. */
function applicationProtocols(protocol: ListenerConfig['protocol'], written: string[]): string[] | null {
  if (protocol === 'http') return ['http/1.1']
  return written.length === 0 ? null : written
}

export function proxyVersion({ upstream: { proxyProtocol } }: ListenerConfig): ProxyVersion | null {
  return proxyProtocol === 'off' ? null : proxyProtocol
}

/** The parts that serving needs besides the configuration. */
export interface Served {
  deadlines: LiveDeadlines
  read: ReadOptions
  upstream: Upstream
}

export function serveOptions(config: ListenerConfig, { deadlines, read, upstream }: Served): ServeOptions {
  const { buffers, tcpKeepAliveMs, noDelay } = config
  const pair: PairOptions = {
    buffers: { highBytes: buffers.highBytes, lowBytes: buffers.lowBytes, readBytes: read.readBytes },
    deadlines,
    tcpKeepAliveMs,
  }
  const { secure, proxyProtocol } = upstream.options
  return { upstream, dial: { read, noDelay, secure }, proxyProtocol, pair }
}

function isOn(perSec: number): boolean {
  return Number.isFinite(perSec)
}

/** The limits of each connection; null where there are none. */
export function ratesOptions(config: ListenerConfig, read: ReadOptions): RateRulesOptions | null {
  const { limits, protocol } = config
  const bytes = ruleOf(limits.bytes)
  const messages = protocol === 'http' ? ruleOf(limits.messages) : null
  const minRate = isOn(limits.minRate.bytesPerSec) ? limits.minRate : null
  return bytes === null && messages === null && minRate === null
    ? null
    : { bytes, messages, minRate, readBytes: read.readBytes }
}

function ruleOf<Rule extends { perSec: number }>(rule: Rule): Rule | null {
  return isOn(rule.perSec) ? rule : null
}

/** The limits of each client; null where there are none. */
export function clientOptions({ limits }: ListenerConfig): Omit<ClientOptions, 'report'> | null {
  const { connectionsPerClient, newConnections, bytes, messages, isEnforced } = limits
  const { max: maxConnections, scope } = connectionsPerClient
  const isPaced = isOn(newConnections.perSec) && newConnections.per === 'client'
  const isShared = [bytes, messages].some((rule) => isOn(rule.perSec) && rule.per === 'client')
  if (!Number.isFinite(maxConnections) && !isPaced && !isShared) return null
  return { maxConnections, newConnections: isPaced ? newConnections : null, isEnforced, scope }
}

export function httpOptions(config: ListenerConfig, served: Served): HttpOptions {
  const { http } = config
  const { upstream, pair, dial, proxyProtocol } = serveOptions(config, served)
  return {
    pair,
    reach: { upstream, dial, proxyProtocol },
    deadlines: served.deadlines,
    keepAliveMs: http.keepAliveMs,
    maxHeaderBytes: http.maxHeaderBytes,
    maxBodyBytes: http.maxBodyBytes,
    lenient: http.lenient,
    abortsOnHalfClose: http.abortOnHalfClose === 'on',
    ...forwardingOptions(config),
  }
}

function forwardingOptions({ http, tls, upstream }: ListenerConfig): ForwardingOptions {
  return {
    form: http.forwarded,
    hasVia: http.via === 'on',
    isTrusted: trusts(http.trustForwarded),
    isSecure: tls !== null,
    forwardsCertificate: http.clientCertificate === 'forward',
    service: hostOf(toTarget(upstream.addresses[0]!)),
  }
}

export function websocketOptions(
  config: ListenerConfig,
  served: Served,
): Omit<WebSocketOptions, 'servePlain' | 'serveHttp2' | 'clients'> {
  const { websocket, http } = config
  const { deadlines } = served
  return {
    ...serveOptions(config, served),
    deadlines,
    maxHeaderBytes: http.maxHeaderBytes,
    ...forwardingOptions(config),
    lenient: http.lenient,
    upgrade: {
      origins: websocket.origins,
      compression: websocket.compression,
      isKnown: config.upstream.protocol === 'http1',
    },
    frames: {
      maxMessageBytes:
        websocket.compression === 'on' ? onTheWire(websocket.maxMessageBytes) : websocket.maxMessageBytes,
      maxFragments: websocket.maxFragments,
      maxMessageToClientBytes: websocket.maxMessageToClientBytes,
      live: deadlines,
    },
    messages:
      websocket.mode === 'frames'
        ? null
        : { slowConsumer: websocket.slowConsumer, maxMessageBytes: websocket.maxMessageBytes },
  }
}

/** Compression lengthens random data a little; in messages mode the limit is for the inflated size. */
function onTheWire(maxMessageBytes: number): number {
  return maxMessageBytes + Math.ceil(maxMessageBytes / 1024) + 64
}

function toTarget(address: Address): Target {
  return address.kind === 'unix'
    ? { path: address.path }
    : { host: address.host ?? 'localhost', port: address.port }
}

/** `200-399`, or `204` alone. */
function rangeOf(text: string): { from: number; to: number } {
  const [from, to = from] = text.split('-').map(Number)
  return { from: from!, to: to! }
}
