// The victims when queues must be shed. First the queues of stalled peers, the largest first: the write
// deadline would end these connections anyway. An incomplete message counts as stalled since it began:
// nothing frees its bytes before its end, however it goes on. Then, if that is not enough, the other queues,
// by how long they have taken nothing, as far as that is known.

import type { Queue } from './queues.ts'

/**
 * A peer that takes nothing for this long is stalled. We read the kernel's answers about slow readers a few
 * times a second, and less often with many thousands of sockets.
 */
export const STALLED_MS = 2000

/**
 * How exactly we know for how long a moving peer has taken nothing. Of those that are alike the largest queue
 * goes first: the end of one with a few bytes would cost its client all and free nothing.
 */
const KNOWN_TO_MS = 250

export interface Excess {
  /** How much of the bytes for stalled peers must go. */
  stalledBytes: number
  /** How much must go, from any connection that holds it. */
  anyBytes: number
}

/** The fewest of `queues` that hold so much, in the order in which they are shed. */
export function chooseVictims(queues: readonly Queue[], { stalledBytes, anyBytes }: Excess): Queue[] {
  const victims: Queue[] = []
  let freed = 0
  const stalled = queues
    .filter(({ quietMs }) => quietMs >= STALLED_MS)
    .sort((one, other) => other.bytes - one.bytes || other.quietMs - one.quietMs)
  const moving = queues
    .filter(({ quietMs }) => quietMs < STALLED_MS)
    .sort((one, other) => steps(other) - steps(one) || other.bytes - one.bytes)
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

const steps = ({ quietMs }: Queue): number => Math.floor(quietMs / KNOWN_TO_MS)
