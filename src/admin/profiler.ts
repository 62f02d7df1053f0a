// The profiler: looks into this process while it runs, at its CPU time, its allocations, its heap. One
// profile at a time, and at most a minute: it costs a few per cent, and stops when its client leaves.

import type { Session } from 'node:inspector/promises'
import type { Clock } from '../core/clock.ts'
import { nodeInspector, nodeV8 } from '../core/late.ts'

export type ProfileKind = 'cpu' | 'heap'
export const MAX_SECONDS = 60

/** The memory that a heap snapshot would need, and the available memory, in bytes. */
export interface SnapshotRoom {
  heapBytes: number
  neededBytes: number
  availableBytes: number
  /** The container's limit; null where there is none. */
  limitBytes: number | null
}

/**
 * V8 builds a graph of the whole heap beside it, then its text. Measured on Node 26: 4.4 times the heap of a
 * gate, whether it is idle (15 MiB) or holds 2,000 pairs; 14 times a heap of only small objects. Without
 * enough room the kernel would end the pod, and every connection in it.
 */
const NEEDED_PER_HEAP_BYTE = 5

export class Profiler {
  readonly #clock: Clock
  #isBusy = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Takes the only place, until `signal` reports that the answer is complete or its client has left; false if
   * it is taken.
   */
  claim(signal: AbortSignal): boolean {
    if (this.#isBusy || signal.aborted) return false
    this.#isBusy = true
    signal.addEventListener('abort', () => void (this.#isBusy = false), { once: true })
    return true
  }

  /** Resolves with the text of the profile's file, or null if the client left before. */
  async profile(kind: ProfileKind, seconds: number, signal: AbortSignal): Promise<string | null> {
    const session = new (nodeInspector().Session)()
    session.connect()
    try {
      return await this.#run(session, kind, seconds, signal)
    } finally {
      // Stops whatever still runs in the session.
      session.disconnect()
    }
  }

  async #run(
    session: Session,
    kind: ProfileKind,
    seconds: number,
    signal: AbortSignal,
  ): Promise<string | null> {
    if (kind === 'cpu') {
      await session.post('Profiler.enable')
      await session.post('Profiler.start')
    } else {
      await session.post('HeapProfiler.startSampling')
    }
    await this.#pause(seconds * 1000, signal)
    if (signal.aborted) return null
    const { profile } =
      kind === 'cpu' ? await session.post('Profiler.stop') : await session.post('HeapProfiler.stopSampling')
    return JSON.stringify(profile)
  }

  #pause(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve()
      const cancel = this.#clock.after(ms, done)
      signal.addEventListener('abort', done)
      function done(): void {
        cancel()
        signal.removeEventListener('abort', done)
        resolve()
      }
    })
  }

  /** The present heap, in pieces. The process stands still until the first; the rest waits for its reader. */
  async *snapshot(): AsyncGenerator<Buffer> {
    // If the loop ends early, it destroys the stream, and with it the pieces not taken.
    for await (const piece of nodeV8().getHeapSnapshot()) yield piece as Buffer
  }
}

export function snapshotRoom(): SnapshotRoom {
  const heapBytes = nodeV8().getHeapStatistics().used_heap_size
  const limit = process.constrainedMemory()
  return {
    heapBytes,
    neededBytes: NEEDED_PER_HEAP_BYTE * heapBytes,
    availableBytes: process.availableMemory(),
    // Without a limit the kernel reports a number near 2^64.
    limitBytes: limit > 0 && limit < 2 ** 53 ? limit : null,
  }
}
