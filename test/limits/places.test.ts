import { test } from 'tap'
import fc from 'fast-check'
import { ConnectionLimit } from '../../src/limits/places.ts'
import type { Admission } from '../../src/core/connection.ts'

const P = 'placed'

test('as many places as the limit are taken, the next is refused, and a released one is taken again', (t) => {
  const limit = new ConnectionLimit(2)
  t.same([limit.take(), limit.take(), limit.take()], [P, P, null])
  t.equal(limit.open, 2)
  limit.release(P)
  t.equal(limit.open, 1)
  t.ok(limit.take())
  t.notOk(limit.take())
  t.end()
})

test('a place is one of the parent too, and a refusal takes none of either', (t) => {
  const whole = new ConnectionLimit(3)
  const one = new ConnectionLimit(2, whole)
  const other = new ConnectionLimit(2, whole)
  t.same([one.take(), one.take(), one.take()], [P, P, null])
  t.equal(whole.open, 2, 'what the child refused was not taken from the parent')
  t.same([other.take(), other.take()], [P, null])
  t.equal(other.open, 1, 'what the parent refused was not taken from the child')
  one.release(P)
  t.ok(other.take())
  t.equal(whole.open, 3)
  t.end()
})

test('no order of takes and releases goes over a limit or loses a place', (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.boolean())), (steps) => {
      const whole = new ConnectionLimit(4)
      const children = [new ConnectionLimit(3, whole), new ConnectionLimit(3, whole)]
      for (const [isFirst, takes] of steps) {
        const child = children[isFirst ? 0 : 1]!
        const hasRoom = child.open < child.max && whole.open < whole.max
        if (takes && (child.take() !== null) !== hasRoom) throw new Error('room was not what it is')
        if (!takes && child.open > 0) child.release(P)
        if (whole.open !== children[0]!.open + children[1]!.open) throw new Error('a place was lost')
      }
    }),
  )
  t.pass()
  t.end()
})

const observing = (max: number, parent: ConnectionLimit | null = null) => {
  const acts: boolean[] = []
  const limit = new ConnectionLimit(max, parent, { isEnforced: false, onFull: (is) => void acts.push(is) })
  return { limit, acts }
}

test('where the limit only observes, those over it hold no place, and each is counted', (t) => {
  const { limit, acts } = observing(2)
  t.same([limit.take(), limit.take(), limit.take()], [P, P, 'observed'])
  t.equal(limit.open, 2)
  limit.release(P)
  t.equal(limit.take(), P, 'as if the third had been refused')
  limit.release('observed')
  t.equal(limit.open, 2, 'it gives no place back')
  t.equal(limit.take(), 'observed')
  t.same(acts, [false, false])
  t.end()
})

test('the parent counts those over a limit that only observes, and holds for them', (t) => {
  const whole = new ConnectionLimit(2)
  const { limit } = observing(1, whole)
  t.same([limit.take(), limit.take(), limit.take()], [P, 'observed', null])
  t.same([limit.open, whole.open], [1, 2])
  limit.release('observed')
  t.same([limit.open, whole.open], [1, 1])
  t.equal(limit.take(), 'observed')
  limit.release('observed')
  limit.release(P)
  t.same([limit.open, whole.open], [0, 0])
  t.end()
})

test('a limit that is enforced from now on counts all that are open', (t) => {
  const { limit } = observing(2)
  for (let nth = 0; nth < 4; nth++) limit.take()
  limit.isEnforced = true
  t.equal(limit.open, 4)
  limit.release('observed')
  limit.release(P)
  t.equal(limit.take(), null)
  limit.release('observed')
  t.equal(limit.take(), P)
  t.end()
})

test('no order of takes, releases and changes of the mode loses a place, or gives one twice', (t) => {
  const step = fc.constantFrom('take', 'placed', 'observed', 'mode')
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const whole = new ConnectionLimit(6)
      const { limit } = observing(2, whole)
      const open: Admission[] = []
      let isEnforced = false
      for (const what of steps) {
        if (what === 'mode') limit.isEnforced = isEnforced = !isEnforced
        else if (what === 'take') open.push(...[limit.take()].filter((one) => one !== null))
        else if (open.includes(what)) limit.release(open.splice(open.indexOf(what), 1)[0]!)
        if (whole.open !== open.length || limit.open > open.length) throw new Error('a place was lost')
        if (isEnforced && limit.open !== open.length) throw new Error('an enforced limit counts all')
      }
      for (const one of open) limit.release(one)
      if (whole.open + limit.open !== 0) throw new Error('a place stayed')
    }),
  )
  t.pass()
  t.end()
})
