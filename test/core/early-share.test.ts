import { test } from 'tap'
import { EarlyShare } from '../../src/core/early-share.ts'
import { Budget } from '../../src/core/strain.ts'

const KIB = 1024
const budgetOf = (mostBytes: number): Budget => Object.assign(new Budget(), { mostBytes })

test('of a head, what is over 2 KiB counts twice until it waits no more', (t) => {
  const budget = budgetOf(100 * KIB)
  const share = new EarlyShare(budget)
  t.equal(share.weighHead(2 * KIB), true)
  t.equal(budget.heldBytes, 0)
  t.equal(share.weighHead(16 * KIB), true)
  t.equal(budget.heldBytes, 28 * KIB)
  share.weighHead(5 * KIB)
  t.equal(budget.heldBytes, 6 * KIB, 'as much as waits now')
  share.weighHead(0)
  t.equal(budget.heldBytes, 0)
  t.end()
})

test('a large head finds no room where others have it, an ordinary one always', (t) => {
  const budget = budgetOf(28 * KIB)
  const [one, other] = [new EarlyShare(budget), new EarlyShare(budget)]
  t.equal(one.weighHead(16 * KIB), true, 'to the byte')
  t.equal(other.weighHead(2 * KIB + 1), false)
  t.equal(other.weighHead(2 * KIB), true)
  t.equal(budget.heldBytes, 28 * KIB, 'the refused one counts for nothing')
  one.weighHead(0)
  t.equal(other.weighHead(16 * KIB), true)
  t.end()
})

test('the bytes behind a head count beside it', (t) => {
  const budget = budgetOf(40 * KIB)
  const share = new EarlyShare(budget)
  share.settle(8 * KIB)
  share.weighHead(10 * KIB)
  t.equal(budget.heldBytes, 24 * KIB)
  share.settle(0)
  t.equal(budget.heldBytes, 16 * KIB)
  t.end()
})
