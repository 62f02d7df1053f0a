// What an operator is shown of an upstream: its addresses, how they are, and where they come from.

import type { Health } from './health-check.ts'
import type { Source } from './source.ts'
import type { UpstreamTarget } from './target.ts'
import type { UpstreamOptions } from './upstream.ts'

export interface TargetView {
  address: string
  /** The name that it was resolved from; null for one that is written in the configuration. */
  resolvedFrom: string | null
  /** gone: from DNS, with connections that are being ended. */
  state: Health | 'gone'
  /** The last answer of DNS did not have it. */
  isMissing: boolean
  /** Connections and plain requests that are under way. */
  open: number
  lastCheck: { at: string; tookMs: number; problem: string | null } | null
  /** Of a dial for a connection. */
  lastFailure: { at: string; problem: string } | null
}

export interface UpstreamView {
  balance: string
  /** For each address; null is off. */
  maxConnections: number | null
  /** Connections and requests that wait for a place. */
  queued: number
  targets: TargetView[]
  names: Array<{ name: string; addresses: number; answeredAt: string | null; problem: string | null }>
}

export function viewUpstream(options: UpstreamOptions, sources: readonly Source[], targets: readonly UpstreamTarget[], gone: ReadonlySet<UpstreamTarget>, queued: number): UpstreamView {
  return {
    balance: options.balance,
    maxConnections: Number.isFinite(options.maxConnections) ? options.maxConnections : null,
    queued,
    targets: [...targets, ...gone].map((target) => viewTarget(target, gone.has(target))),
    names: sources.map(({ name, misses, answeredAt, problem }) => ({
      name,
      addresses: [...misses.values()].filter((missed) => missed === 0).length,
      answeredAt: answeredAt === null ? null : iso(answeredAt),
      problem,
    })),
  }
}

function viewTarget({ name, from, check, isMissing, open, lastFailure }: UpstreamTarget, isGone: boolean): TargetView {
  const last = check?.last ?? null
  return {
    address: name,
    resolvedFrom: from,
    state: isGone ? 'gone' : (check?.state ?? 'unknown'),
    isMissing,
    open,
    lastCheck: last === null ? null : { ...last, at: iso(last.at) },
    lastFailure: lastFailure === null ? null : { ...lastFailure, at: iso(lastFailure.at) },
  }
}

function iso(wall: number): string {
  return new Date(wall).toISOString()
}
