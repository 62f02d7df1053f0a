import { test } from 'tap'
import { SWEEP_MS } from '../../src/core/clock.ts'
import { memoryPair } from './memory-pair.ts'
import type { MemoryPair } from './memory-pair.ts'

const told = ({ connection }: MemoryPair) =>
  connection.timeline?.lines.map(({ event, detail }) => [event, detail]) ?? null

test('an idle pair, and one that chats, keep no timeline', async (t) => {
  const it = memoryPair({ deadlines: { idleMs: 60_000, writeMs: 10_000 } })
  for (let round = 0; round < 20; round++) {
    it.client.feed('question')
    it.upstream.feed('answer')
    await it.clock.pass(2000)
  }
  t.equal(told(it), null)
  t.equal(it.connection.toUpstream.firstMs, 0)
})

test('a first byte each way is told with its time', async (t) => {
  const it = memoryPair()
  await it.clock.pass(300)
  it.client.feed('question')
  await it.clock.pass(400)
  t.equal(it.connection.toClient.firstMs, -1)
  it.upstream.feed('answer')
  await it.clock.pass(500)
  t.same([it.connection.toUpstream.firstMs, it.connection.toClient.firstMs], [300, 700])
})

test('a reader that stops for half of deadlines.write is stalled, and its going on is told', async (t) => {
  const it = memoryPair({ deadlines: { writeMs: 10_000 }, clientTakes: 0 })
  it.upstream.feed('answer')
  await it.clock.pass(4999)
  t.equal(told(it), null)
  await it.clock.pass(1 + 2 * SWEEP_MS)
  t.same(told(it), [['stalled', 'client']])
  t.ok(it.connection.timeline!.lines[0]!.afterMs <= SWEEP_MS, 'since it took nothing any more')
  it.client.take(100)
  await it.clock.pass(2 * SWEEP_MS)
  t.same(told(it), [
    ['stalled', 'client'],
    ['went_on', 'client'],
  ])
  await it.clock.pass(60_000)
  t.equal(it.connection.end, null)
})

test('a sender that two sweeps find held back is told, and that it is read again', async (t) => {
  const buffers = { highBytes: 100, lowBytes: 10, readBytes: 100 }
  const it = memoryPair({ buffers, clientTakes: 0 })
  it.upstream.feed('a'.repeat(100))
  await it.clock.pass(SWEEP_MS)
  t.equal(told(it), null, 'a pause between two sweeps is none')
  await it.clock.pass(2 * SWEEP_MS)
  t.same(told(it), [['held_back', 'upstream']])
  it.client.take(1000)
  await it.clock.pass(2 * SWEEP_MS)
  t.same(told(it), [
    ['held_back', 'upstream'],
    ['let_go', 'upstream'],
  ])
})

test('data after three quarters of deadlines.idle is told, a little earlier is not', async (t) => {
  const after = async (ms: number) => {
    const it = memoryPair({ deadlines: { idleMs: 100_000 } })
    await it.clock.pass(ms)
    it.client.feed('still here')
    await it.clock.pass(SWEEP_MS)
    return told(it)
  }
  t.equal(await after(74_000), null)
  t.same(await after(76_000), [['quiet', 'for 76.3s (deadlines.idle)']])
})

test('an end of ours is told with what each side was told', async (t) => {
  const it = memoryPair({ deadlines: { idleMs: 1000 } })
  await it.clock.pass(2000)
  t.match(told(it), [
    ['ending', /^idle_timeout by Sidegate: no data for 1\.\ds \(deadlines\.idle\)$/],
    ['told', 'the client: FIN behind what was accepted'],
    ['told', 'the upstream: FIN behind what was accepted'],
  ])
})
