// The smoke part of this suite once more, with everything that operator and gate say to each other cloned on the way
// (test/support/start-operator.ts): whatever is no plain data, and whatever is expected in the turn that asked, fails here.

import { test } from 'tap'
import { runAgain } from '../support/smoke.ts'

const smoke = [
  'gate-admin-explains-a-wait',
  'gate-advice',
  'gate-answers-every-question',
  'gate-drain',
  'gate-drain-spreads',
  'gate-kill',
  'gate-overloaded-ends-stalled-queues',
  'gate-overloaded-refuses-new-work',
  'gate-probes',
  'gate-recent',
  'gate-reload',
  'gate-reload-deadlines',
  'http-drain-finishes-what-is-in-flight',
  'websocket-drain',
]

test('nothing but plain data passes between operator and gate', { timeout: 180_000 }, async (t) => {
  await runAgain(t, smoke, { MESSAGES: 'cloned' })
})
