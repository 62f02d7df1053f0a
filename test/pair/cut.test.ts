// What counts as cut: bytes that an end of ours took away, not those that it let go first.

import { test } from 'tap'
import { SWEEP_MS } from '../../src/core/clock.ts'
import { makeClose } from '../../src/core/close.ts'
import type { Dialogue } from '../../src/pair/dialogue.ts'
import { dialogue, memoryPair } from './memory-pair.ts'
import type { MemoryPair } from './memory-pair.ts'

const drain = makeClose('drain', 'sidegate', 'relay')
const force = makeClose('drain_timeout', 'sidegate', 'relay')

/** Twenty bytes wait for the client, behind a dialogue that is between two messages or inside one. */
function behind(isAtRest: boolean | null): MemoryPair {
  const talk: Dialogue | null = isAtRest === null ? null : dialogue({ isAtRest })
  const it = memoryPair({ clientTakes: 0, closeMs: 2000, dialogue: talk })
  it.upstream.feed('x'.repeat(20))
  return it
}

async function takeAll(it: MemoryPair): Promise<void> {
  it.upstream.fin()
  it.client.take(20)
  it.client.fin()
  await it.clock.pass(0)
}

test('the last bytes of an answer that a drain lets go are not cut', async (t) => {
  const it = behind(true)
  t.ok(it.pair.isOwed(), 'others are asked first')
  it.pair.close(drain)
  await takeAll(it)
  t.same([it.closed.length, it.client.got.length, it.client.gotFin], [1, 20, true])
  t.match(it.connection, { isCut: false, end: { reason: 'drain' } })
})

test('last bytes that are dropped after all are cut', async (t) => {
  const stalled = behind(true)
  stalled.pair.close(drain)
  stalled.upstream.fin()
  await stalled.clock.pass(2000 + 2 * SWEEP_MS)
  t.ok(stalled.client.gotReset)
  t.match(stalled.connection, {
    isCut: true,
    end: { reason: 'drain', detail: /20 bytes for the client dropped/ },
  })

  for (const first of [drain, makeClose('eof', 'client', 'relay')]) {
    const late = behind(true)
    late.pair.close(first)
    late.pair.close(force)
    t.ok(late.connection.isCut, `${first.reason}, and the drain is over before they went`)
  }

  const atOnce = behind(true)
  atOnce.pair.close(force)
  t.ok(atOnce.connection.isCut, 'RST leaves them behind')
})

test('the end of a peer that leaves its last bytes is no cut of ours', async (t) => {
  const it = behind(true)
  it.pair.close(makeClose('eof', 'client', 'relay'))
  it.upstream.fin()
  await it.clock.pass(2000 + 2 * SWEEP_MS)
  t.match(it.connection, { isCut: false, end: { reason: 'write_timeout', side: 'client' } })
})
