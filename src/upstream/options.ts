// The options of an upstream, which a reload changes by making another upstream; only `deadlines` are live.

import type { Live } from '../core/live.ts'
import type { SecureOptions, Target } from './dial.ts'
import type { HealthCheckOptions } from './health-check.ts'
import type { PoolOptions } from './pool.ts'
import type { ProxyVersion } from './proxy-header.ts'

export interface UpstreamOptions {
  /** Hosts may be names; all addresses of a name are targets. */
  addresses: readonly Target[]
  balance: 'leastConnections' | 'roundRobin'
  /** For each address; Infinity is off. */
  maxConnections: number
  /** Milliseconds that a connection waits for a place. */
  queueTimeoutMs: number
  /** `connectMs`: for name resolution and all dials of a connection together. */
  deadlines: Live<{ connectMs: number }>
  /** Milliseconds of `connectMs` in which dials that find no listener are retried; null is all of them. */
  retryForMs: number | null
  /** Milliseconds that addresses stay in use once there is no such name; Infinity is off. */
  staleForMs: number
  /** The fate of open connections whose address is gone from its name. */
  onRemoved: 'keep' | 'end'
  noDelay: boolean
  /** Null: the upstream speaks in the clear. */
  secure: SecureOptions | null
  /** Whether a PROXY header begins each connection. */
  proxyProtocol: ProxyVersion | null
  /** Connections that are kept between requests. */
  pool: PoolOptions
  /** Null is off. */
  healthCheck: HealthCheckOptions | null
}
