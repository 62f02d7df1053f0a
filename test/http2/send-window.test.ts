import { test } from 'tap'
import { SendWindow } from '../../src/http2/send-window.ts'

const INITIAL = 65_535

function setUp() {
  const session = { state: { remoteWindowSize: 0 }, remoteSettings: { initialWindowSize: INITIAL } }
  const window = new SendWindow(session, () => 777)
  return { session, window }
}

const shut = { queued: 1, given: INITIAL }
const behind = { queued: 100, given: INITIAL - 1 }

test('a stream with a window of its own is excused behind one that may have none, until the connection has some', (t) => {
  const { session, window } = setUp()
  t.notOk(window.excuses(behind), 'before the first sweep')
  window.sweep([behind, shut], 1000)
  t.same([window.excuses(behind), window.excuses(shut)], [true, false])
  session.state.remoteWindowSize = 1
  window.sweep([behind, shut], 2000)
  t.notOk(window.excuses(behind))
  t.end()
})

test('nobody is excused where all have windows of their own, or none that may not waits for anything', (t) => {
  const { window } = setUp()
  window.sweep([behind, { queued: 0, given: INITIAL }], 1000)
  t.notOk(window.excuses(behind))
  t.end()
})

test('the windows of streams are those that the service tells by now; of a session that is gone nothing is known', (t) => {
  const { session, window } = setUp()
  session.remoteSettings.initialWindowSize = 2 * INITIAL
  window.sweep([shut], 1000)
  t.notOk(window.excuses(behind))
  Object.assign(session, { state: {}, remoteSettings: {} })
  window.sweep([shut], 1000)
  t.notOk(window.excuses(behind))
  t.end()
})

test('it tells since when it is shut, and that it was taken from just now where it is not', (t) => {
  const { session, window } = setUp()
  t.equal(window.lastDrainAt(), 777)
  window.sweep([shut], 1000)
  window.sweep([shut], 2000)
  t.equal(window.lastDrainAt(), 1000)
  session.state.remoteWindowSize = 1
  window.sweep([shut], 3000)
  t.equal(window.lastDrainAt(), 777)
  t.end()
})

test('it is stuck once it was shut for a second and no piece was taken, and no more once it opens or one is', (t) => {
  const { session, window } = setUp()
  window.sweep([behind], 1776)
  t.notOk(window.isStuck)
  window.sweep([behind], 1777)
  t.ok(window.isStuck, 'whoever has shut it')
  window.onTaken()
  window.sweep([behind], 1800)
  t.notOk(window.isStuck)
  window.sweep([], 2799)
  t.notOk(window.isStuck, 'a piece counts for a second')
  window.sweep([], 2800)
  t.ok(window.isStuck)
  session.state.remoteWindowSize = 1
  window.sweep([behind], 2900)
  t.notOk(window.isStuck)
  t.end()
})
