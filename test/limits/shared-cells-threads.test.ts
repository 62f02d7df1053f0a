import { test } from 'tap'
import { stress } from './stress.ts'

test('threads that take and release at once never hold more than a limit, and no place is lost', async (t) => {
  const { tooMany, left, tokensOver, taken, refused } = await stress({ takes: 50_000 })
  t.same({ tooMany, left }, { tooMany: 0, left: 0 })
  t.ok(tokensOver <= 0, `${tokensOver} over the rate`)
  t.ok(refused > 0, `${taken} taken, ${refused} refused`)
})

test('what threads that end at any moment held is given back, and no more', async (t) => {
  const { tooMany, left, tokensOver, ended } = await stress({ ends: 12, endEveryMs: 20 })
  t.same({ tooMany, left }, { tooMany: 0, left: 0 })
  t.ok(tokensOver <= 0, `${tokensOver} over the rate`)
  t.equal(ended, 12)
})
