// The view of an upstream for operators: its addresses, their states, and their origins.

import type { Health } from './finding.ts'
import type { ResolvedName, NameState } from './resolved-name.ts'
import type { SessionCounts } from './streams.ts'
import type { UpstreamTarget } from './target.ts'
import type { UpstreamOptions } from './options.ts'

export interface TargetView {
  address: string
  /** The name that the address was resolved from; null for one from the configuration. */
  resolvedFrom: string | null
  /** gone: no name has the address any more, nor the configuration, but it still has connections. */
  state: Health | 'gone'
  /** The last answer of DNS lacked the address: it gets no new connections. */
  isMissing: boolean
  /** Connections and plain requests under way, those of before a reload included. */
  open: number
  /**
   * The kept connections of a service that speaks HTTP/2, and their streams; null for any other service, and
   * before the first request.
   */
  sessions: SessionCounts | null
  /** `answered` is the answer of the address, such as `200 OK`. */
  lastCheck: { at: string; tookMs: number; problem: string | null; answered: string | null } | null
  /** The last failed dial for a connection. */
  lastFailure: { at: string; problem: string } | null
}

export interface UpstreamView {
  balance: string
  /** For each address; null is off. */
  maxConnections: number | null
  /** Connections and requests that wait for a place. */
  queued: number
  targets: TargetView[]
  /** `addresses` counts those that new connections go to; `absentSince` is the first "no such name". */
  names: Array<{
    name: string
    state: NameState
    addresses: number
    answeredAt: string | null
    absentSince: string | null
    problem: string | null
  }>
}

export interface UpstreamParts {
  sources: readonly ResolvedName[]
  /** Targets in use first, then removed ones that still have connections. */
  targets: readonly UpstreamTarget[]
  /** Targets that the configuration has no more, and that have connections. */
  former: readonly UpstreamTarget[]
  /** The targets of an address, with those of upstreams of before a reload. */
  alike: (address: string) => readonly UpstreamTarget[]
  queued: number
}

export function viewUpstream(
  options: UpstreamOptions,
  { sources, targets, former, alike, queued }: UpstreamParts,
): UpstreamView {
  return {
    balance: options.balance,
    maxConnections: Number.isFinite(options.maxConnections) ? options.maxConnections : null,
    queued,
    targets: [
      ...targets.map((target) => viewTarget(target, alike(target.name))),
      ...former.map((target) => ({ ...viewTarget(target, alike(target.name)), state: 'gone' as const })),
    ],
    names: sources.map(({ name, state, addresses, answeredAt, absentAt, problem }) => ({
      name,
      state,
      addresses: addresses.length,
      answeredAt: isoOrNull(answeredAt),
      absentSince: isoOrNull(absentAt),
      problem,
    })),
  }
}

/** `alike`: the same address, also in upstreams of before a reload. */
function viewTarget(target: UpstreamTarget, alike: readonly UpstreamTarget[]): TargetView {
  const { name, from, check, presence, lastFailure } = target
  const last = check?.last ?? null
  return {
    address: name,
    resolvedFrom: from,
    state: presence === 'gone' ? 'gone' : (check?.state ?? 'unknown'),
    isMissing: presence !== 'there',
    open: alike.reduce((sum, { open }) => sum + open, 0),
    sessions: alike.map(({ streams }) => streams?.counts ?? null).reduce(bothSessions, null),
    lastCheck: last === null ? null : { ...last, at: iso(last.at) },
    lastFailure: lastFailure === null ? null : { ...lastFailure, at: iso(lastFailure.at) },
  }
}

/** Null where neither address has had a request over HTTP/2. */
export function bothSessions(one: SessionCounts | null, other: SessionCounts | null): SessionCounts | null {
  if (one === null || other === null) return one ?? other
  const { open, leaving, streams } = other
  return { open: one.open + open, leaving: one.leaving + leaving, streams: one.streams + streams }
}

function iso(wall: number): string {
  return new Date(wall).toISOString()
}

function isoOrNull(wall: number | null): string | null {
  return wall === null ? null : iso(wall)
}
