// Warnings: settings that are allowed but seldom meant, such as waits without a bound, memory beyond any pod,
// keys without effect. `sidegate check` reports them; they refuse nothing.

import type { Address } from './address.ts'
import { formatAddress } from './address.ts'
import type { Cidr } from './cidr.ts'
import { localPorts } from './local-ports.ts'
import { oddDurations } from './odd-durations.ts'
import { oddNetworks } from './odd-networks.ts'
import type { Path } from './path.ts'
import type { Finding } from './finding.ts'
import type { Config, ListenerConfig } from './schema.ts'
import { formatDuration, formatSize, OFF } from './units.ts'
import { USUAL_CONNECTIONS } from './usual-connections.ts'

const MINUTE_MS = 60_000
const MUCH_MEMORY_BYTES = 4 * 1024 ** 3
/** Ports that a service mesh takes inside a pod. */
const meshPorts = [
  { from: 15_000, to: 15_099, owner: 'Istio' },
  { from: 4140, to: 4191, owner: 'linkerd' },
  { from: 9901, to: 9901, owner: 'Envoy' },
  { from: 19_000, to: 19_099, owner: 'Envoy' },
] as const

/** `isWritten`: whether the file has that path; without it, warnings on keys without effect are left out. */
export function riskyValues(
  config: Config,
  isWritten: (path: Path) => boolean = () => false,
  ports = localPorts(),
): Finding[] {
  return [
    ...riskyAddress(config.health.address, ['health', 'address']),
    ...riskyAddress(config.admin.address, ['admin', 'address']),
    ...riskyMemory(config),
    ...cutByDrain(config),
    ...config.listeners.flatMap((listener, index) => {
      const path = ['listeners', index]
      return once([
        ...riskyAddress(listener.address, [...path, 'address']),
        ...unboundedWaits(listener, [...path, 'deadlines']),
        ...forgottenPeers(listener, path),
        ...muchMemory(listener, path),
        ...fewPorts(listener, path, ports),
        ...withoutEffect(listener, path, isWritten),
        ...wholeMessages(listener, [...path, 'websocket']),
        ...everybody(listener, path),
        ...clientsOfProxies(listener, path),
        ...pausesOfTcp(listener, [...path, 'deadlines']),
        ...oddDurations(listener, [...path, 'deadlines']),
        ...oddNetworks(listener, path),
      ])
    }),
  ]
}

/** One finding for each value: the first says most. */
function once(found: readonly Finding[]): Finding[] {
  const paths = found.map(({ path }) => path.join('.'))
  return found.filter((_, nth) => paths.indexOf(paths[nth]!) === nth)
}

function riskyAddress(address: Address, path: Path): Finding[] {
  if (address.kind === 'unix') return []
  if (address.port === 0)
    return [{ path, message: `${formatAddress(address)} is any free port, which clients cannot know` }]
  const owner = meshPorts.find(({ from, to }) => address.port >= from && address.port <= to)?.owner
  return owner === undefined
    ? []
    : [{ path, message: `port ${address.port} is one that ${owner} takes inside a pod` }]
}

function riskyMemory({ memory, listeners }: Config): Finding[] {
  const path = ['memory', 'buffered']
  if (!('bytes' in memory.buffered)) return []
  const { bytes } = memory.buffered
  if (bytes === OFF)
    return [
      { path, message: 'off: a burst of stalled readers may take the last of the memory between two looks' },
    ]
  const largest = Math.max(...listeners.map(({ buffers }) => buffers.highBytes))
  if (bytes >= 2 * largest) return []
  return [
    {
      path,
      message: `${formatSize(bytes)} is less than one connection may hold (two buffers of ${formatSize(largest)})`,
    },
  ]
}

/** The peers that each of these deadlines stops when it is on. */
const waits = {
  handshake: 'a client that never finishes its request head is kept for ever',
  connect: 'a dial waits for as long as the kernel does, two minutes or more',
  response: 'an upstream that never answers is waited for without end',
  write: 'a reader that stalls is kept for ever, with its buffers',
  halfClose: 'a side that never ends its half keeps the other for ever',
  close: 'a peer that never answers a closing handshake is kept for ever',
} as const

function unboundedWaits(listener: ListenerConfig, path: Path): Finding[] {
  const { deadlines, protocol } = listener
  const hasHandshake = hasSlowGates(listener)
  const found: Finding[] = []
  for (const name of Object.keys(waits) as (keyof typeof waits)[]) {
    // Opaque bytes have no heads to wait for.
    if (protocol === 'tcp' && (name === 'response' || (name === 'handshake' && !hasHandshake))) continue
    if (deadlines[`${name}Ms`] === OFF) found.push({ path: [...path, name], message: `off: ${waits[name]}` })
  }
  const { halfCloseMs } = deadlines
  if (halfCloseMs !== OFF && halfCloseMs > MINUTE_MS) {
    found.push({
      path: [...path, 'halfClose'],
      message: `${formatDuration(halfCloseMs)} is longer than iptables NAT remembers a half-closed connection (60s)`,
    })
  }
  return found
}

function forgottenPeers({ deadlines, websocket, tcpKeepAliveMs }: ListenerConfig, path: Path): Finding[] {
  const { idleMs, clientIdleMs, upstreamIdleMs, lifetimeMs } = deadlines
  const found: Finding[] = []
  if (idleMs === OFF && lifetimeMs === OFF && (clientIdleMs === OFF || upstreamIdleMs === OFF)) {
    found.push({
      path: [...path, 'deadlines', 'idle'],
      message: 'off: a forgotten connection is kept for ever',
    })
  }
  if (tcpKeepAliveMs === OFF)
    found.push({
      path: [...path, 'tcpKeepAlive'],
      message: 'off: a peer that vanished is noticed only when it is sent something',
    })
  const { intervalMs } = websocket.ping
  if (intervalMs < 1000)
    found.push({
      path: [...path, 'websocket', 'ping', 'interval'],
      message: `${formatDuration(intervalMs)} sends many pings to every silent connection`,
    })
  return found
}

/** Each connection to one address takes a local port; a name counts as one address, for it may be no more. */
function fewPorts({ limits, upstream }: ListenerConfig, path: Path, ports: number): Finding[] {
  const { addresses, maxConnections } = upstream
  if (addresses.some(({ kind }) => kind === 'unix')) return []
  const connections = Math.ceil((limits.connections ?? USUAL_CONNECTIONS) / addresses.length)
  if (Math.min(connections, maxConnections) <= ports) return []
  const message =
    `${connections} connections to one upstream address are more than the local ports (${ports}, net.ipv4.ip_local_port_range): dials would fail with EADDRNOTAVAIL; ` +
    'name more addresses, widen the range, or set upstream.maxConnections'
  return [{ path: [...path, 'limits', 'connections'], message }]
}

function muchMemory({ limits, buffers }: ListenerConfig, path: Path): Finding[] {
  const connections = limits.connections ?? USUAL_CONNECTIONS
  const bytes = connections * buffers.highBytes * 2
  if (bytes <= MUCH_MEMORY_BYTES) return []
  const total = formatSize(Math.round(bytes / 1024 ** 3) * 1024 ** 3)
  return [
    {
      path: [...path, 'buffers', 'high'],
      message: `${connections} connections with two buffers of ${formatSize(buffers.highBytes)} may take ${total}`,
    },
  ]
}

/** Message mode keeps messages that frames mode only passes on. */
function wholeMessages({ protocol, limits, websocket }: ListenerConfig, path: Path): Finding[] {
  const { mode, maxMessageBytes, maxMessageToClientBytes, slowConsumer } = websocket
  if (protocol === 'tcp' || mode === 'frames') return []
  const found: Finding[] = []
  if (maxMessageBytes === OFF)
    found.push({
      path: [...path, 'maxMessage'],
      message: 'off: messages mode keeps a message until it is whole, so one client can take all memory',
    })
  if (maxMessageToClientBytes === OFF && maxMessageBytes !== OFF) {
    found.push({
      path: [...path, 'maxMessageToClient'],
      message: 'off: messages mode keeps a message until it is whole, however large the service makes it',
    })
  }
  const bytes = (limits.connections ?? USUAL_CONNECTIONS) * slowConsumer.queueBytes
  if (slowConsumer.policy !== 'wait' && bytes > 4 * MUCH_MEMORY_BYTES) {
    found.push({
      path: [...path, 'slowConsumer', 'queue'],
      message: `${limits.connections ?? USUAL_CONNECTIONS} clients that stall may take ${formatSize(Math.round(bytes / 1024 ** 3) * 1024 ** 3)}`,
    })
  }
  return found
}

/** In opaque bytes a pause looks like a stall, and an answer in the making like silence. */
function pausesOfTcp({ protocol, deadlines }: ListenerConfig, path: Path): Finding[] {
  if (protocol !== 'tcp') return []
  const { writeMs, upstreamIdleMs, idleMs, lifetimeMs } = deadlines
  const found: Finding[] = []
  const warn = (name: string, ms: number, message: string): void =>
    void found.push({ path: [...path, name], message: `${formatDuration(ms)} ${message}` })
  if (writeMs < MINUTE_MS)
    warn(
      'write',
      writeMs,
      'ends a client that pauses at a result (a pager, a debugger), and a publisher whose broker reads nothing while its memory is short',
    )
  if (upstreamIdleMs < 5 * MINUTE_MS)
    warn(
      'upstreamIdle',
      upstreamIdleMs,
      'ends a client whose answer takes longer, such as that of a long query',
    )
  if (idleMs < 5 * MINUTE_MS)
    warn('idle', idleMs, 'ends connections that a pool keeps, and queries that take longer')
  if (lifetimeMs < OFF)
    warn(
      'lifetime',
      lifetimeMs,
      'ends a connection also in the middle of a transaction: let the pool of the clients end it (maxLifetime)',
    )
  return found
}

function cutByDrain({ drain, listeners }: Config): Finding[] {
  if (drain.tcp === 'wait' || listeners.every(({ protocol }) => protocol !== 'tcp')) return []
  return [
    {
      path: ['drain', 'tcp'],
      message:
        'spread: connections of tcp are ended at random moments, those among them that wait for an answer',
    },
  ]
}

function everybody({ protocol, proxyProtocol, http }: ListenerConfig, path: Path): Finding[] {
  const lists: Array<[Path, ListenerConfig['http']['trustForwarded']]> = [
    [['proxyProtocol', 'trusted'], proxyProtocol.accept === 'off' ? [] : proxyProtocol.trusted],
    [['http', 'trustForwarded'], protocol === 'http' ? http.trustForwarded : []],
  ]
  return lists.flatMap(([key, networks]) => {
    const all = networks.find((one) => one !== 'private' && one.prefix === 0)
    if (all === undefined || all === 'private') return []
    const message = `${all.address}/0 trusts everybody: any client can claim any address`
    return [{ path: [...path, ...key], message }]
  })
}

/** The requests of a browser for one page, each of which counts if a trusted proxy names the client. */
const REQUESTS_OF_A_PAGE = 50

/** Rules and counts by client apply, request by request, to the client that a trusted proxy names. */
function clientsOfProxies({ protocol, http, access, limits }: ListenerConfig, path: Path): Finding[] {
  const { trustForwarded } = http
  if (protocol === 'tcp' || trustForwarded.length === 0) return []
  const found: Finding[] = []
  const isProxy = (network: Cidr): boolean =>
    trustForwarded.some((one) => one !== 'private' && isSame(one, network))
  if (access.allow.length > 0 && access.allow.every(isProxy))
    found.push({
      path: [...path, 'access', 'allow'],
      message: 'names proxies of http.trustForwarded alone, and judges the clients that these name',
    })
  const { perSec, burst, per } = limits.newConnections
  if (per === 'client' && Number.isFinite(perSec) && burst < REQUESTS_OF_A_PAGE)
    found.push({
      path: [...path, 'limits', 'newConnections', 'burst'],
      message: `${burst}: of a client that a proxy of http.trustForwarded names each request counts, and a page is many`,
    })
  return found
}

function isSame(one: Cidr, other: Cidr): boolean {
  return one.address === other.address && one.prefix === other.prefix
}

/** There is something to wait for before the first byte of a protocol. */
function hasSlowGates({ tls, proxyProtocol }: ListenerConfig): boolean {
  return tls !== null || proxyProtocol.accept !== 'off'
}

function withoutEffect(listener: ListenerConfig, path: Path, isWritten: (path: Path) => boolean): Finding[] {
  const { protocol, deadlines } = listener
  const useless: Path[] =
    protocol === 'tcp' ? [['websocket'], ['http'], ['deadlines', 'response'], ['limits', 'messages']] : []
  if (protocol === 'tcp' && !hasSlowGates(listener)) useless.push(['deadlines', 'handshake'])
  const found: Finding[] = useless
    .filter((inner) => isWritten([...path, ...inner]))
    .map((inner) => ({ path: [...path, ...inner], message: 'has no effect with protocol: tcp', isKey: true }))
  if (listener.mode !== null && listener.address.kind !== 'unix')
    found.push({ path: [...path, 'mode'], message: 'has no effect but for a Unix socket', isKey: true })
  const { accept, trusted } = listener.proxyProtocol
  if (accept === 'off' && trusted.length > 0 && isWritten([...path, 'proxyProtocol', 'trusted'])) {
    found.push({
      path: [...path, 'proxyProtocol', 'trusted'],
      message: 'has no effect while proxyProtocol.accept is off',
      isKey: true,
    })
  }
  const jitter: Path = [...path, 'deadlines', 'lifetimeJitter']
  if (deadlines.lifetimeMs === OFF && isWritten(jitter))
    found.push({ path: jitter, message: 'has no effect while lifetime is off', isKey: true })
  return found
}
