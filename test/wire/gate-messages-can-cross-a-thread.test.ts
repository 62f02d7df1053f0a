// The smoke part of this suite once more, with every message between operator and gate cloned
// (test/support/start-operator.ts): a message that is not plain data, or an answer expected in the turn of
// its question, fails here.

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
