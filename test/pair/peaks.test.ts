// The peaks of a pair that the sweep keeps for advice: the silence of each side, as far as the connection was
// in use.

import { test } from 'tap'
import { leastOf, peakOf } from '../../src/core/log-counts.ts'
import { memoryPair } from './memory-pair.ts'

/** Milliseconds at least; 0 where there was none. */
const silenceOf = (peaks: number): number => {
  const index = peakOf(peaks, 2)
  return index === 0 ? 0 : leastOf(index)
}

test('a side that only listens is silent for as long as the other speaks, and deadlines.clientIdle of more than that spares it', async (t) => {
  for (const clientIdleMs of [Infinity, 130_000]) {
    const it = memoryPair({ deadlines: { clientIdleMs } })
    it.client.feed('subscribe')
    for (let second = 0; second < 100; second++) {
      await it.clock.pass(1000)
      it.upstream.feed('news')
    }
    await it.clock.pass(1000)
    t.equal(it.connection.end, null)
    const [client, upstream] = [it.connection.toUpstream, it.connection.toClient].map(({ peaks }) =>
      silenceOf(peaks),
    )
    t.ok(client! >= 80_000 && client! <= 101_000, `${client} ms`)
    t.ok(upstream! <= 1500, `${upstream} ms`)
  }
})

test('a silence of both that ends in nothing is no use, and counts for neither', async (t) => {
  const it = memoryPair()
  it.client.feed('hello')
  it.upstream.feed('hello')
  await it.clock.pass(1000)
  await it.clock.pass(100_000)
  for (const { peaks } of [it.connection.toUpstream, it.connection.toClient]) t.ok(silenceOf(peaks) < 1500)
})
