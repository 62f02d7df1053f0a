import { test } from 'tap'
import { SWEEP_MS } from '../../src/core/clock.ts'
import { memoryPair } from './memory-pair.ts'

for (const side of ['client', 'upstream'] as const)
  test(`what a look has found in the kernel for the ${side} is looked for again until it is taken, whatever else moves`, async (t) => {
    const { clock, end, ...peers } = memoryPair({ deadlines: { idleMs: 4000, writeMs: 60_000 } })
    const from = side === 'client' ? 'upstream' : 'client'
    peers[from].feed('answer')
    await clock.pass(2000)
    t.equal(peers[side].measured, 0)
    peers[side].inKernel = 100
    await clock.pass(1500)
    const talk = clock.every(100, () => peers[from].feed('more'))
    await clock.pass(1000)
    const before = peers[side].measured
    await clock.pass(4 * SWEEP_MS)
    t.equal(peers[side].measured, before + 4)
    t.ok(peers[side].unacked > 0)
    peers[side].inKernel = 0
    await clock.pass(2 * SWEEP_MS)
    t.equal(peers[side].unacked, 0)
    const after = peers[side].measured
    await clock.pass(4 * SWEEP_MS)
    t.equal(peers[side].measured, after)
    talk()
    t.equal(await end(), null)
  })

test('a peer is asked about in each sweep while bytes wait for it, whether or not some of them count as taken', async (t) => {
  const { clock, client, upstream, end } = memoryPair({ deadlines: { idleMs: 60_000, writeMs: 60_000 } })
  let asked = 0
  Object.assign(client, { checkPeer: () => asked++ })
  await clock.pass(4 * SWEEP_MS)
  t.equal(asked, 0)
  client.stall()
  upstream.feed('answer')
  await clock.pass(4 * SWEEP_MS)
  t.ok(client.queued > 0 && client.unacked > 0)
  t.equal(asked, 4)
  t.equal(await end(), null)
})
