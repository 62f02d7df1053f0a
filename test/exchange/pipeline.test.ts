import type { Socket } from 'node:net'
import { test } from 'tap'
import { Pipeline } from '../../src/exchange/pipeline.ts'
import { fakeClock } from '../support/fake-clock.ts'

function setUp() {
  const clock = fakeClock()
  const owner = { isClosing: false }
  const seen = { pauses: 0 }
  const socket = { pause: () => void (seen.pauses += 1) } as unknown as Socket
  return { clock, owner, seen, pipeline: new Pipeline(socket, clock, owner) }
}

test('requests get their turn in order, one for each call', async (t) => {
  const { pipeline } = setUp()
  const ran: number[] = []
  for (const nth of [1, 2]) pipeline.add(() => void ran.push(nth))
  pipeline.runNext()
  t.same([ran, pipeline.isEmpty], [[1], false])
  pipeline.runNext()
  pipeline.runNext()
  t.same([ran, pipeline.isEmpty], [[1, 2], true])
})

test('32 may wait, the next one may not until one has got its turn', async (t) => {
  const { pipeline } = setUp()
  for (let nth = 0; nth < 32; nth += 1) t.equal(pipeline.add(() => {}), true)
  t.equal(pipeline.add(() => {}), false)
  pipeline.runNext()
  t.equal(pipeline.add(() => {}), true)
  pipeline.clear()
  t.equal(pipeline.isEmpty, true)
})

test('reading stops in the next turn, once for any number of calls, and not on a connection that is closing', async (t) => {
  const { clock, owner, seen, pipeline } = setUp()
  pipeline.stopReading()
  pipeline.stopReading()
  t.equal(seen.pauses, 0, 'the parser would resume it')
  await clock.pass(0)
  t.equal(seen.pauses, 1)
  pipeline.stopReading()
  owner.isClosing = true
  await clock.pass(0)
  t.equal(seen.pauses, 1)
})
