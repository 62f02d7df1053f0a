import { test } from 'tap'
import { CATCH_UP_MS, caughtUp } from '../../src/listener/caught-up.ts'
import { fakeClock } from '../support/fake-clock.ts'

/** Two listeners, of which the second accepts one in each turn that `comes` allows; returns how many it had in the end. */
async function acceptedBy(comes: (soFar: number) => boolean, turnMs = 0): Promise<number> {
  const clock = fakeClock()
  let accepted = 0
  let isOver = false
  const poll = (): void => {
    clock.freeze(turnMs)
    if (comes(accepted)) accepted++
    if (!isOver) clock.nextTurn(poll)
  }
  poll()
  const done = caughtUp(() => [7, accepted], clock).then(() => (isOver = true))
  await clock.pass(0)
  await done
  return accepted
}

test('the wait ends once a whole turn accepts nobody', async (t) => {
  t.equal(await acceptedBy(() => false), 0)
  t.equal(await acceptedBy((soFar) => soFar < 40), 40)
})

test('clients that come for ever hold it up for so long', async (t) => {
  const turns = CATCH_UP_MS / 10
  const accepted = await acceptedBy(() => true, 10)
  t.ok(accepted >= turns && accepted < turns + 5, `${accepted} turns`)
})
