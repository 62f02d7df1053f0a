// Whose queue goes first when queues must go: those of stalled peers, the largest first, because each is an end that its write
// deadline would bring about anyway, and of messages that are not whole, which free nothing until they are, however they go on; then, if that is not enough, the others, by how long they have taken nothing.

import type { Queue } from './queues.ts'

/**
 * Taken nothing for so long: stalled. What the kernel tells of a slow reader is read a few times a second, and less often where
 * there are many thousands of sockets.
 */
export const STALLED_MS = 2000

export interface Excess {
  /** So much of what stalled peers hold must go. */
  stalledBytes: number
  /** So much must go, from any connection that holds it. */
  anyBytes: number
}

/** As few of `queues` as hold so much; in the order in which they go. */
export function chooseVictims(queues: readonly Queue[], { stalledBytes, anyBytes }: Excess): Queue[] {
  const victims: Queue[] = []
  let freed = 0
  const stalled = queues
    .filter(({ quietMs }) => quietMs >= STALLED_MS)
    .sort((one, other) => other.bytes - one.bytes || other.quietMs - one.quietMs)
  const moving = queues
    .filter(({ quietMs }) => quietMs < STALLED_MS)
    .sort((one, other) => other.quietMs - one.quietMs || other.bytes - one.bytes)
  for (const [kind, goal] of [
    [stalled, Math.max(stalledBytes, anyBytes)],
    [moving, anyBytes],
  ] as const) {
    for (const queue of kind) {
      if (freed >= goal) break
      victims.push(queue)
      freed += queue.bytes
    }
  }
  return victims
}
