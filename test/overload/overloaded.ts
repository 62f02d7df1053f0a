import { addressOf } from '../support/addresses.ts'
import { makeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import { calm, impose } from '../../src/core/strain.ts'
import { LOOK_MS, Overload } from '../../src/overload/overload.ts'
import type { OverloadOptions } from '../../src/overload/overload.ts'
import { queuedBytes, queuesOf } from '../../src/overload/queues.ts'
import { fakeClock } from '../support/fake-clock.ts'

export const MIB = 1024 * 1024
export const LIMIT = 100 * MIB
export const usual: OverloadOptions = { buffered: { share: 0.25 }, shedAt: 0.85, refuseAt: 0.95 }

/** An overload over a machine whose figures the test sets. `quietMs` of a peer grows by itself unless it is `moving`. */
export function overloaded(options: Partial<OverloadOptions> = {}) {
  const clock = fakeClock()
  const strain = calm()
  const usage = { limitBytes: LIMIT, usageBytes: 10 * MIB }
  const registry = new Map<number, Connection>()
  const closes: Array<{ id: number } & Close> = []
  const lines: string[] = []
  const heap = { share: 0 }
  let collected = 0
  let collectionMs = 0
  const overload = new Overload(
    { ...usual, ...options },
    {
      clock,
      log: { warn: (message) => void lines.push(message) },
      gates: {
        memory: async () => ({ queuedBytes: queuedBytes(registry.values()), heapShare: heap.share }),
        queues: async () => queuesOf(registry.values(), clock.now()),
        shed(victims) {
          for (const { id, detail } of victims)
            registry.get(id)?.owner?.close(makeClose('overloaded', 'sidegate', 'relay', detail))
        },
        strain: (level) => impose(strain, level),
        collectGarbage() {
          collected++
          if (collectionMs > 0) clock.freeze(collectionMs)
        },
      },
      read: () => ({ ...usage }),
    },
  )
  overload.start()
  return {
    clock,
    strain,
    usage,
    heap,
    overload,
    closes,
    lines,
    collected: () => collected,
    /** A collection takes so long from now on. */
    collectFor: (ms: number) => void (collectionMs = ms),
    endedIds: () => closes.map(({ id }) => id),
    /** A connection whose client has so much to take. */
    add(id: number, bytes: number, state: 'stalled' | 'moving' = 'stalled') {
      const connection = new Connection(id, 'app', 'tcp', addressOf('192.0.2.1:1'), clock.now())
      const since = clock.now()
      connection.phase = 'relay'
      connection.owner = {
        close: (close) => {
          closes.push({ id, ...close })
          registry.delete(id)
        },
        queued: (side) => (side === 'client' ? bytes : 0),
        lastDrainAt: () => (state === 'moving' ? clock.now() : since),
        isPaused: () => true,
      }
      registry.set(id, connection)
    },
    /** The next look sees this share of the limit used. */
    async use(share: number) {
      usage.usageBytes = share * LIMIT
      await clock.pass(LOOK_MS)
    },
  }
}
