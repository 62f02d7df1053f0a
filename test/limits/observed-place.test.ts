// `connectionsPerClient` that only observes counts what it would have refused if it were enforced: both judge the same
// connections here, of which the enforced one refuses some.

import fc from 'fast-check'
import { test } from 'tap'
import { Clients } from '../../src/limits/clients.ts'
import type { Holder } from '../../src/limits/clients.ts'
import { localScopes } from '../../src/limits/cells.ts'
import { Doubts } from '../../src/limits/doubts.ts'
import { addressOf } from '../support/addresses.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { runs } from '../support/runs.ts'

const ann = addressOf('192.0.2.1:1')

function setUp(isEnforced: boolean, maxConnections: number) {
  const clock = fakeClock()
  const doubts = new Doubts(clock)
  let acts = 0
  const options = { maxConnections, newConnections: null, isEnforced, report: () => void acts++ }
  const clients = new Clients(options, localScopes, doubts)
  const open = new Map<number, Holder>()
  const leave = new Map<number, () => void>()
  const judge = (nth: number): void => {
    leave.delete(nth)
    const holder: Holder = { observed: null }
    if (clients.admit(ann, clock.now(), holder) === null) open.set(nth, holder)
  }
  return {
    clock,
    clients,
    options,
    get acts() {
      return acts
    },
    come(nth: number): void {
      const doubt = clients.doubt(ann, () => clock.now())
      if (doubt === null) judge(nth)
      else
        leave.set(
          nth,
          doubts.wait(doubt, () => judge(nth)),
        )
    },
    go(nth: number): void {
      leave.get(nth)?.()
      leave.delete(nth)
      const holder = open.get(nth)
      open.delete(nth)
      if (holder !== undefined) clients.release(ann, clock.now(), { ...holder, hasParted: false })
    },
    get waiting() {
      return doubts.waiting
    },
  }
}

test('whatever comes and goes, what is observed is what an enforced limit refuses', async () => {
  const step = fc.oneof(
    fc.constant({ kind: 'come' as const }),
    fc.record({ kind: fc.constant('go' as const), nth: fc.nat(1000) }),
    fc.record({ kind: fc.constant('pass' as const), ms: fc.constantFrom(0, 4, 20, 60) }),
  )
  const steps = fc.array(step, { minLength: 10, maxLength: 40 })
  const property = fc.asyncProperty(steps, fc.integer({ min: 1, max: 3 }), async (all, max) => {
    const both = [setUp(true, max), setUp(false, max)] as const
    const [enforcing, observing] = both
    let came = 0
    for (const one of all) {
      // A flood is refused at once where the limit is enforced, and in a moment where it observes.
      if (one.kind === 'come' && enforcing.waiting >= max) for (const { clock } of both) await clock.pass(60)
      for (const each of both) {
        if (one.kind === 'come') each.come(came)
        else if (one.kind === 'go') each.go(one.nth % (came || 1))
        else await each.clock.pass(one.ms)
      }
      if (one.kind === 'come') came++
      if (enforcing.acts !== observing.acts)
        throw new Error(`${enforcing.acts} refused, ${observing.acts} observed`)
    }
    for (let nth = 0; nth < came; nth++) observing.go(nth)
    if (observing.clients.size !== 0 || observing.waiting !== 0) throw new Error('something is left')
  })
  await fc.assert(property, { numRuns: runs(500) })
})

test('a newcomer that waits is judged by the places that newer ones have taken, and waits for those', async (t) => {
  const scene = setUp(true, 1)
  for (const nth of [0, 1]) scene.come(nth)
  // The client has nothing open for a moment.
  scene.go(0)
  scene.come(2)
  await scene.clock.pass(4)
  t.same([scene.acts, scene.waiting], [0, 1])
  scene.go(2)
  await scene.clock.pass(4)
  t.same([scene.acts, scene.waiting], [0, 0], 'it has the place')
})

test('a flood that stays is counted whole', async (t) => {
  const scene = setUp(false, 2)
  for (let nth = 0; nth < 300; nth++) scene.come(nth)
  await scene.clock.pass(60)
  t.equal(scene.acts, 298)
})

test('a client that is served, gone and back before its ends are known is not counted', async (t) => {
  const scene = setUp(false, 1)
  for (let nth = 0; nth < 20; nth++) scene.come(nth)
  for (let nth = 0; nth < 19; nth++) scene.go(nth)
  await scene.clock.pass(60)
  t.equal(scene.acts, 0)
})

test('a limit that is enforced from now on counts all that it has let on, until their end', async (t) => {
  const scene = setUp(false, 1)
  for (let nth = 0; nth < 3; nth++) scene.come(nth)
  await scene.clock.pass(60)
  t.equal(scene.acts, 2)
  scene.clients.options = { ...scene.options, isEnforced: true }
  scene.go(0)
  scene.go(1)
  await scene.clock.pass(60)
  t.equal(scene.clients.admit(ann, 0)?.reason, 'too_many', 'the third is open')
  scene.go(2)
  await scene.clock.pass(60)
  t.equal(scene.clients.admit(ann, 0), null)
})

test('one over the limit gives no place back that it does not hold', async (t) => {
  const scene = setUp(false, 1)
  const holder: Holder = { observed: null }
  scene.come(0)
  scene.clients.admit(ann, 0, holder)
  await scene.clock.pass(60)
  t.match(holder.observed, { isPlaced: false })
  scene.clients.release(ann, 0, { ...holder, hasParted: false })
  scene.come(1)
  await scene.clock.pass(60)
  t.equal(scene.acts, 2, 'the first is there')
})

test('one that a rate of new connections refuses holds nothing, and is not counted as over the other limit', async (t) => {
  const scene = setUp(false, 1)
  const newConnections = { perSec: 1, burst: 1, isEnforced: true }
  scene.clients.options = { ...scene.options, newConnections }
  scene.come(0)
  scene.come(1)
  await scene.clock.pass(60)
  t.equal(scene.acts, 1, 'the rate alone')
  scene.go(0)
  t.equal(scene.waiting, 0)
})
