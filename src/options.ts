// What the configuration says, as the options that each part declares: the only place where the names of both meet.

import { BlockList } from 'node:net'
import { formatAddress } from './config/address.ts'
import type { Address } from './config/address.ts'
import type { Config, ListenerConfig } from './config/schema.ts'
import type { ReadOptions } from './endpoint/socket-endpoint.ts'
import { ConfigError } from './errors.ts'
import type { PairOptions } from './pair/pair.ts'
import type { HttpOptions } from './protocol/http/serve.ts'
import type { ServeOptions } from './protocol/opening.ts'
import type { WebSocketOptions } from './protocol/websocket/serve.ts'

/** The most that one read brings, and so what a half may hold at the least. Measured: smaller reads double the cost of 64 KiB messages. */
export const READ_BYTES = 64 * 1024

/** The shortest wait that is swept, so that a deadline of 50 ms is not judged every quarter of a second. */
export function shortestDeadline(config: Config): number {
  const waits = config.listeners.flatMap(({ deadlines, websocket, http }) => [
    ...Object.values({ ...deadlines, lifetimeJitter: Number.POSITIVE_INFINITY }),
    websocket.ping.intervalMs,
    websocket.ping.timeoutMs,
    http.keepAliveMs,
  ])
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
  const why = { EADDRINUSE: 'the address is in use', EACCES: 'not permitted', EADDRNOTAVAIL: 'no such address on this machine' }[error.code ?? '']
  const message = `cannot listen on ${formatAddress(address)}: ${why ?? error.message}`
  return new ConfigError('configuration', [{ line: 0, column: 0, path: key, message }])
}

/** A file that is needed and cannot be used, at the key that names it. */
export function cannotUse(key: string, file: string, problem: string): ConfigError {
  return new ConfigError('configuration', [{ line: 0, column: 0, path: key, message: `${file} ${problem}` }])
}

export function toListener(address: Address): { host: string | null; port: number } | { path: string } {
  return address.kind === 'unix' ? { path: address.path } : { host: address.host, port: address.port }
}

export function toListen(address: Address): { host?: string; port: number } | { path: string } {
  if (address.kind === 'unix') return { path: address.path }
  return address.host === null ? { port: address.port } : { host: address.host, port: address.port }
}

export function serveOptions(config: ListenerConfig, read: ReadOptions): ServeOptions {
  const { deadlines, buffers, upstream, tcpKeepAliveMs, noDelay } = config
  const pair: PairOptions = {
    buffers: { highBytes: buffers.highBytes, lowBytes: buffers.lowBytes, readBytes: read.readBytes },
    deadlines,
    closeMs: deadlines.closeMs,
    tcpKeepAliveMs,
  }
  return { dial: { target: toTarget(upstream.address), read, connectMs: deadlines.connectMs, noDelay }, pair }
}

export function httpOptions({ deadlines, http, upstream }: ListenerConfig): HttpOptions {
  return {
    deadlines,
    handshakeMs: deadlines.handshakeMs,
    keepAliveMs: http.keepAliveMs,
    closeMs: deadlines.closeMs,
    lifetimeMs: deadlines.lifetimeMs,
    lifetimeJitter: deadlines.lifetimeJitter,
    target: toTarget(upstream.address),
    maxHeaderBytes: http.maxHeaderBytes,
    maxBodyBytes: http.maxBodyBytes,
    isTrusted: trust(http.trustForwarded),
  }
}

function trust(networks: ListenerConfig['http']['trustForwarded']): (address: string) => boolean {
  const trusted = new BlockList()
  for (const { address, prefix, family } of networks) trusted.addSubnet(address, prefix, family)
  return (address) => networks.length > 0 && trusted.check(address, address.includes(':') ? 'ipv6' : 'ipv4')
}

export function websocketOptions(config: ListenerConfig, read: ReadOptions): Omit<WebSocketOptions, 'servePlain'> {
  const { deadlines, websocket, http } = config
  return {
    ...serveOptions(config, read),
    handshakeMs: deadlines.handshakeMs,
    responseMs: deadlines.upgradeMs,
    maxHeaderBytes: http.maxHeaderBytes,
    isTrusted: trust(http.trustForwarded),
    upgrade: { origins: websocket.origins, compression: websocket.compression },
    frames: {
      maxMessageBytes: websocket.maxMessageBytes,
      maxFragments: websocket.maxFragments,
      ping: websocket.ping,
      closeMs: deadlines.closeMs,
    },
  }
}

export function toTarget(address: Address): { host: string; port: number } | { path: string } {
  return address.kind === 'unix' ? { path: address.path } : { host: address.host ?? 'localhost', port: address.port }
}
