// The upstreams and shared limits of several gates, merged into the view of one.

import type { SharedView } from '../admin/types.ts'
import type { GateViews } from '../gate/messages.ts'
import { bothSessions } from '../upstream/upstream-view.ts'
import type { TargetView } from '../upstream/upstream-view.ts'

type UpstreamOf = GateViews['upstreams'][number]

/** `listeners`: their names in order; each gate reports those that it has. */
export function mergedViews(views: readonly GateViews[], listeners: readonly string[]): GateViews {
  if (views.length === 1) return views[0]!
  const upstreams = new Map<string, UpstreamOf>()
  for (const view of views) {
    for (const upstream of view.upstreams) {
      const known = upstreams.get(upstream.listener)
      upstreams.set(upstream.listener, known === undefined ? upstream : together(known, upstream))
    }
  }
  const shared = views.flatMap((view) => view.shared ?? []).reduce<SharedView | null>(sharedByBoth, null)
  return { upstreams: listeners.flatMap((name) => upstreams.get(name) ?? []), shared }
}

/** The state of the worst gate: each has its own way to Redis, and its own leases. */
function sharedByBoth(one: SharedView | null, other: SharedView): SharedView {
  if (one === null) return other
  const worst = one.isUp ? other : one
  return { ...worst, gates: Math.max(one.gates, other.gates), leases: one.leases + other.leases }
}

function together(one: UpstreamOf, other: UpstreamOf): UpstreamOf {
  const targets = new Map(one.targets.map((target) => [keyOf(target), target]))
  for (const target of other.targets) {
    const known = targets.get(keyOf(target))
    targets.set(keyOf(target), known === undefined ? target : both(known, target))
  }
  return { ...one, queued: one.queued + other.queued, targets: [...targets.values()] }
}

function keyOf({ address, resolvedFrom }: TargetView): string {
  return `${address} ${resolvedFrom}`
}

/** Adds the places up, and takes the latest check and failure. */
function both(one: TargetView, other: TargetView): TargetView {
  const [latest, earlier] = atOf(one.lastCheck) >= atOf(other.lastCheck) ? [one, other] : [other, one]
  const { lastFailure } = atOf(one.lastFailure) >= atOf(other.lastFailure) ? one : other
  return {
    ...latest,
    open: one.open + other.open,
    sessions: bothSessions(one.sessions, other.sessions),
    isMissing: latest.isMissing || earlier.isMissing,
    lastFailure,
  }
}

function atOf(event: { at: string } | null): string {
  return event?.at ?? ''
}
