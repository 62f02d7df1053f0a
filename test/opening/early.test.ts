import { test } from 'tap'
import { Flow } from '../../src/core/connection.ts'
import { Budget } from '../../src/core/strain.ts'
import { EarlyBytes } from '../../src/opening/early.ts'

function early(limitBytes = 100) {
  const budget = Object.assign(new Budget(), { limitBytes })
  const flow = new Flow()
  return { budget, flow, early: new EarlyBytes(flow, budget) }
}
const bytes = Buffer.from('0123456789')

test('what comes ahead of a pair is counted as received and as held, and dated by its first byte', (t) => {
  const { budget, flow, early: kept } = early()
  t.same([kept.length, kept.isOverBudget], [0, false])
  kept.keep(bytes, 2, 6, 1000)
  kept.keep(bytes, 6, 10, 2000)
  t.same([kept.length, kept.since, flow.received, budget.heldBytes], [8, 1000, 8, 8])
  kept.keep(bytes, 5, 5, 3000)
  t.equal(kept.length, 8)
  t.end()
})

test('the pair takes it in order, and counts it again itself', (t) => {
  const { budget, flow, early: kept } = early()
  kept.keep(bytes, 0, 4, 0)
  kept.keep(bytes, 4, 10, 0)
  t.equal(kept.takeAll().toString(), '0123456789')
  t.same([kept.length, flow.received, budget.heldBytes], [0, 0, 0])
  t.equal(kept.takeAll().length, 0)
  t.end()
})

test('what is forgotten was received all the same, and its room is free again, once', (t) => {
  const { budget, flow, early: kept } = early()
  kept.keep(bytes, 0, 10, 0)
  kept.forget()
  kept.forget()
  t.same([kept.length, flow.received, budget.heldBytes], [0, 10, 0])
  t.end()
})

test('room is reserved for a read before it is made, and given back once', (t) => {
  const { budget, early: one } = early(15)
  const other = new EarlyBytes(new Flow(), budget)
  t.equal(one.reserve(10), true)
  t.equal(other.reserve(10), false)
  t.equal(one.reserve(10), true, 'it has it already')
  one.keep(bytes, 0, 4, 0)
  t.equal(budget.heldBytes, 10)
  one.keep(bytes, 0, 8, 0)
  t.equal(budget.heldBytes, 12, 'what is more than that counts as well')
  one.forget()
  t.equal(budget.heldBytes, 0)
  t.equal(other.reserve(10), true)
  other.takeAll()
  t.equal(budget.heldBytes, 0)
  t.end()
})

test('what came with a head is kept where there is room for it, and what others hold counts', (t) => {
  const { budget, flow, early: one } = early(0)
  const other = new EarlyBytes(new Flow(), budget)
  budget.mostBytes = 15
  t.equal(one.keep(bytes, 0, 10, 0), true)
  t.equal(other.keep(bytes, 0, 6, 0), false)
  t.same([other.length, budget.heldBytes], [0, 10])
  t.equal(other.keep(bytes, 0, 5, 0), true)
  t.equal(one.keep(bytes, 0, 1, 0), false)
  t.same([one.length, flow.received, budget.heldBytes], [10, 11, 15], 'it was received all the same')
  t.equal(one.keep(bytes, 5, 5, 0), true, 'nothing always has room')
  one.forget()
  t.equal(other.keep(bytes, 0, 10, 0), true)
  t.end()
})

test('the budget is shared: what one holds is not there for another', (t) => {
  const { budget, early: one } = early(10)
  const other = new EarlyBytes(new Flow(), budget)
  one.keep(bytes, 0, 9, 0)
  t.equal(other.isOverBudget, false)
  one.keep(bytes, 0, 1, 0)
  t.equal(other.isOverBudget, true)
  one.forget()
  t.equal(other.isOverBudget, false)
  t.end()
})
