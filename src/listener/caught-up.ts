// The end of what waits to be accepted: Node accepts one connection of each listening socket in a turn of the
// event loop, and the kernel completes more meanwhile.

import type { Clock } from '../core/clock.ts'

/** The longest wait for clients that come as fast as they are accepted. */
export const CATCH_UP_MS = 500

/**
 * Resolves after a turn in which nothing was accepted; `accepted` returns how many each listener has so far.
 */
export async function caughtUp(accepted: () => number[], clock: Clock): Promise<void> {
  const turn = (): Promise<void> => new Promise((resolve) => clock.nextTurn(resolve))
  const until = clock.now() + CATCH_UP_MS
  // The listeners may have had their place in this turn already.
  await turn()
  for (let before = ''; before !== String(accepted()) && clock.now() < until;) {
    before = String(accepted())
    await turn()
  }
}
