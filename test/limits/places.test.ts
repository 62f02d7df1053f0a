import { test } from 'tap'
import fc from 'fast-check'
import { ConnectionLimit } from '../../src/limits/places.ts'

test('as many places as the limit are taken, the next is refused, and a released one is taken again', (t) => {
  const limit = new ConnectionLimit(2)
  t.same([limit.take(), limit.take(), limit.take()], [true, true, false])
  t.equal(limit.open, 2)
  limit.release()
  t.equal(limit.open, 1)
  t.ok(limit.take())
  t.notOk(limit.take())
  t.end()
})

test('a place is one of the parent too, and a refusal takes none of either', (t) => {
  const whole = new ConnectionLimit(3)
  const one = new ConnectionLimit(2, whole)
  const other = new ConnectionLimit(2, whole)
  t.same([one.take(), one.take(), one.take()], [true, true, false])
  t.equal(whole.open, 2, 'what the child refused was not taken from the parent')
  t.same([other.take(), other.take()], [true, false])
  t.equal(other.open, 1, 'what the parent refused was not taken from the child')
  one.release()
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
        if (takes && child.take() !== hasRoom) throw new Error('room was not what it is')
        if (!takes && child.open > 0) child.release()
        if (whole.open !== children[0]!.open + children[1]!.open) throw new Error('a place was lost')
      }
    }),
  )
  t.pass()
  t.end()
})
