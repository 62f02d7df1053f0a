// Whose queue goes first when queues must go: those of stalled peers, the largest first, because each is an end that its write
// deadline would bring about anyway, and of messages that are not whole, which free nothing until they are, however they go on; then, if that is not enough, the others, by how long they have taken nothing.

import type { Connection } from '../core/connection.ts'

/** What a connection holds in our queues; those that hold nothing have none. */
export interface Queue {
  connection: Connection
  bytes: number
  /** The longest that one of its peers has taken nothing of what waits for it. */
  quietMs: number
}

/**
 * Taken nothing for so long: stalled. What the kernel tells of a slow reader is read a few times a second, and less often where
 * there are many thousands of sockets.
 */
export const STALLED_MS = 2000

export function queueOf(connection: Connection, now: number): Queue | null {
  const { owner } = connection
  if (owner === null) return null
  const client = owner.queued('client')
  const upstream = owner.queued('upstream')
  if (client + upstream === 0) return null
  const clientQuietMs = client > 0 ? now - owner.takenAt('client') : 0
  const upstreamQuietMs = upstream > 0 ? now - owner.takenAt('upstream') : 0
  return { connection, bytes: client + upstream, quietMs: Math.max(0, clientQuietMs, upstreamQuietMs) }
}

export interface Excess {
  /** So much of what stalled peers hold must go. */
  stalledBytes: number
  /** So much must go whoever holds it. */
  anyBytes: number
}

/** As few of `queues` as hold so much; in the order in which they go. */
export function chooseVictims(queues: readonly Queue[], { stalledBytes, anyBytes }: Excess): Queue[] {
  const victims: Queue[] = []
  let freed = 0
  const stalled = queues.filter(({ quietMs }) => quietMs >= STALLED_MS).sort((one, other) => other.bytes - one.bytes || other.quietMs - one.quietMs)
  const moving = queues.filter(({ quietMs }) => quietMs < STALLED_MS).sort((one, other) => other.quietMs - one.quietMs || other.bytes - one.bytes)
  for (const [kind, goal] of [[stalled, Math.max(stalledBytes, anyBytes)], [moving, anyBytes]] as const) {
    for (const queue of kind) {
      if (freed >= goal) break
      victims.push(queue)
      freed += queue.bytes
    }
  }
  return victims
}
