import fc from 'fast-check'
import { test } from 'tap'
import { Bucket } from '../../src/limits/bucket.ts'

/** Asks for so much after so many milliseconds. */
const asks = fc.array(fc.record({ afterMs: fc.nat(5000), amount: fc.integer({ min: 1, max: 300 }) }), {
  minLength: 1,
  maxLength: 200,
})
const rates = fc.record({
  perSec: fc.integer({ min: 1, max: 1000 }),
  burst: fc.integer({ min: 1, max: 1000 }),
})

test('what is taken in any window is at most rate x time + burst', async () => {
  fc.assert(
    fc.property(rates, asks, ({ perSec, burst }, steps) => {
      const bucket = new Bucket(perSec, burst, 0)
      const taken: Array<[at: number, amount: number]> = []
      let now = 0
      for (const { afterMs, amount } of steps) {
        now += afterMs
        if (bucket.take(amount, now)) taken.push([now, amount])
      }
      for (const [from, [start]] of taken.entries()) {
        let sum = 0
        for (const [at, amount] of taken.slice(from)) {
          sum += amount
          if (sum > ((at - start) * perSec) / 1000 + burst + 1e-6)
            throw new Error(`${sum} from ${start} to ${at}`)
        }
      }
    }),
  )
})

test('who asks for no more than the burst is never starved: after the time that it takes, it is there', async () => {
  fc.assert(
    fc.property(rates, asks, fc.nat(), ({ perSec, burst }, steps, seed) => {
      const bucket = new Bucket(perSec, burst, 0)
      let now = 0
      for (const { afterMs, amount } of steps) bucket.take(amount, (now += afterMs))
      const amount = 1 + (seed % burst)
      const enough = now + Math.ceil((burst * 1000) / perSec) + 1
      if (!bucket.take(amount, enough))
        throw new Error(`${amount} of ${burst} were not there after ${enough - now} ms`)
    }),
  )
})

test('a debt is paid off before anything is there again, so the mean is the rate all the same', async () => {
  fc.assert(
    fc.property(
      rates,
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 50 }),
      ({ perSec, burst }, amounts) => {
        const bucket = new Bucket(perSec, burst, 0)
        let sum = 0
        for (const amount of amounts) {
          bucket.spend(amount, 0)
          sum += amount
        }
        const paidOffMs = Math.max(0, ((sum - burst + 1) * 1000) / perSec)
        if (bucket.has(1, Math.floor(paidOffMs) - 1) && paidOffMs >= 1) throw new Error('too early')
        if (!bucket.has(1, Math.ceil(paidOffMs) + 1)) throw new Error('too late')
      },
    ),
  )
})

test('a clock that stands still lets nothing in, one that jumps fills it once, and one that goes back takes nothing away', (t) => {
  const bucket = new Bucket(10, 5, 1000)
  t.same(
    Array.from({ length: 6 }, () => bucket.take(1, 1000)),
    [true, true, true, true, true, false],
  )
  t.notOk(bucket.take(1, 1099), 'a millisecond less than a token takes')
  t.ok(bucket.take(1, 1100))
  t.notOk(bucket.take(6, 1e12), 'never over the burst')
  t.ok(bucket.isFull(1e12))
  t.ok(bucket.take(1, 0), 'earlier than it was asked last')
  t.ok(bucket.take(4, 1e12))
  t.notOk(bucket.take(1, 0))
  t.notOk(bucket.take(1, 1e12), 'the way back was not paid')
  t.ok(bucket.take(1, 1e12 + 100))
  t.end()
})

test('what is refused costs nothing', (t) => {
  const bucket = new Bucket(1, 10, 0)
  t.notOk(bucket.take(11, 0))
  t.ok(bucket.take(10, 0))
  t.end()
})
