import { test } from 'tap'
import fc from 'fast-check'
import {
  CLASSES,
  classOf,
  leastOf,
  LogCounts,
  noCounts,
  peakOf,
  raised,
  sumCounts,
} from '../../src/core/log-counts.ts'
import { runs } from '../support/runs.ts'

test('a value lies in its class, and a class is no wider than a quarter of its least value', (t) => {
  for (let index = 0; index < CLASSES; index++) {
    t.equal(classOf(leastOf(index)), index, `class ${index}`)
    if (index >= 4) t.ok(leastOf(index + 1) <= leastOf(index) * 1.25)
  }
  fc.assert(
    fc.property(fc.double({ min: 0, max: 2 ** 43 - 1, noNaN: true }), (value) => {
      const index = classOf(value)
      return leastOf(index) <= value && (index === CLASSES - 1 || value < leastOf(index + 1))
    }),
    { numRuns: runs(2000) },
  )
  t.equal(classOf(Number.MAX_SAFE_INTEGER), CLASSES - 1)
  t.equal(classOf(-5), 0)
  t.end()
})

test('counts tell how many, the greatest, and each class, and are summed as plain data', (t) => {
  const [one, other] = [new LogCounts(), new LogCounts()]
  t.same(one.data, noCounts)
  for (const value of [0, 1, 1, 5, 1000]) one.add(value)
  other.addClass(classOf(5))
  other.add(7)
  t.same(one.data.count, 5)
  t.equal(one.data.max, 1000)
  t.same(one.data.classes.slice(0, 6), [1, 2, 0, 0, 0, 1])
  const sum = sumCounts(one.data, structuredClone(other.data))
  t.equal(sum.count, 7)
  t.equal(sum.max, 1000)
  t.equal(sum.classes[classOf(5)], 2)
  t.equal(
    sum.classes.reduce((total, count) => total + count, 0),
    7,
  )
  t.same(sumCounts(noCounts, other.data), other.data)
  t.end()
})

test('four peaks fit one small integer, and each only grows', (t) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.tuple(fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const), fc.nat(2 ** 31 - 1)),
        { maxLength: 30 },
      ),
      (steps) => {
        let peaks = 0
        const model = [0, 0, 0, 0]
        for (const [slot, value] of steps) {
          peaks = raised(peaks, slot, value)
          model[slot] = Math.max(model[slot]!, classOf(value))
        }
        return model.every((expected, slot) => peakOf(peaks, slot as 0) === expected) && (peaks | 0) === peaks
      },
    ),
  )
  t.end()
})
