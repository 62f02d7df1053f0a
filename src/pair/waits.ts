// The wait of a pair in words: the first thing that keeps it from being done, as its deadlines judge it.

import type { Close } from '../core/close.ts'
import { earliest, formatBytes } from '../core/wait.ts'
import type { NextDeadline, Wait } from '../core/wait.ts'
import type { Half } from './half.ts'

export interface PairWait {
  state: 'open' | 'lingering' | 'closing' | 'closed'
  toUpstream: Half
  toClient: Half
  /** The first of the pair's own deadlines. */
  next: NextDeadline | null
  /** When a peer that owes something will have moved too little of it. */
  minRate: NextDeadline | null
  /** The protocol's wait: for a pong, or for the answer to a Close frame. */
  dialogue: Omit<Wait, 'state'> | null
  /** For a protocol with messages: nobody waits for anything. */
  isAtRest: boolean | undefined
  /** While the pair is closing: the reason, and when patience ends. */
  end: Close | null
  closesBy: number
}

export function describePair({
  state,
  toUpstream,
  toClient,
  next,
  minRate,
  dialogue,
  isAtRest,
  end,
  closesBy,
}: PairWait): Wait {
  if (end !== null) {
    const left = [toClient, toUpstream]
      .filter(({ sink }) => !sink.isClosed)
      .map(({ sink }) => `the ${sink.side}`)
    return {
      state,
      waitsFor: `${left.join(' and ')} to take leave`,
      next: earliest([{ key: 'deadlines.close', reason: end.reason, side: end.side, at: closesBy }]),
    }
  }
  const kernel = { client: inKernel(toClient), upstream: inKernel(toUpstream) }
  const owed = [toClient, toUpstream]
    .filter(({ sink }) => sink.unacked > 0)
    .map(({ sink }) => `the ${sink.side} to take ${formatBytes(sink.unacked)}`)
  return {
    state: isAtRest === undefined || state !== 'open' ? state : isAtRest ? 'idle' : 'busy',
    waitsFor:
      owed.length > 0
        ? owed.join(' and ')
        : (delayed(toUpstream, toClient) ?? dialogue?.waitsFor ?? quiet(toUpstream, toClient)),
    next: earliest([next, minRate, dialogue?.next ?? null]),
    kernel,
  }
}

function inKernel({ sink }: Half): number {
  return Math.max(0, sink.unacked - sink.queued)
}

/** A side that a limit delays is not waited for, though it would send. */
function delayed(...halves: readonly Half[]): string | null {
  const turns = halves.flatMap(({ source, meter }) =>
    meter?.delayedBy == null ? [] : [`${meter.delayedBy} to let the ${source.side} go on`],
  )
  return turns.length === 0 ? null : turns.join(' and ')
}

function quiet(toUpstream: Half, toClient: Half): string {
  if (toUpstream.hasEnded && toClient.hasEnded) return 'the last bytes to be flushed'
  if (toUpstream.hasEnded) return 'the upstream to end, as the client did'
  if (toClient.hasEnded) return 'the client to end, as the upstream did'
  return 'data either way'
}
