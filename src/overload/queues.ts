// The queues of a gate's connections, for the operator, which watches the memory.

import type { Connection } from '../core/connection.ts'

/** The bytes of a connection in our queues; a connection that holds nothing has no Queue. Plain data. */
export interface Queue {
  /** The connection's id. */
  id: number
  bytes: number
  /** The longest time for which one of its peers has taken nothing of its queue. */
  quietMs: number
}

/** The memory of a gate, or of all. Plain data. */
export interface GateMemory {
  /** Bytes in all queues. */
  queuedBytes: number
  /** The used share of its heap; of several gates, the largest. */
  heapShare: number
}

/** Bytes in all queues. */
export function queuedBytes(connections: Iterable<Connection>): number {
  let bytes = 0
  for (const { owner } of connections)
    if (owner !== null) bytes += owner.queued('client') + owner.queued('upstream')
  return bytes
}

export function queuesOf(connections: Iterable<Connection>, now: number): Queue[] {
  const queues: Queue[] = []
  for (const connection of connections) {
    const queue = queueOf(connection, now)
    if (queue !== null) queues.push(queue)
  }
  return queues
}

export function queueOf({ id, owner }: Connection, now: number): Queue | null {
  if (owner === null) return null
  const client = owner.queued('client')
  const upstream = owner.queued('upstream')
  if (client + upstream === 0) return null
  const clientQuietMs = client > 0 ? now - owner.lastDrainAt('client') : 0
  const upstreamQuietMs = upstream > 0 ? now - owner.lastDrainAt('upstream') : 0
  return { id, bytes: client + upstream, quietMs: Math.max(0, clientQuietMs, upstreamQuietMs) }
}
