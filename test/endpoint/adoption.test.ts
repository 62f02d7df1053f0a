import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { checkAdoption } from '../../src/endpoint/read-buffer.ts'
import { within } from '../support/eventually.ts'
import { watchLeaks } from '../support/leaks.ts'

test('the proof of adopted sockets succeeds here', async (t) => {
  watchLeaks(t)
  t.equal(await within(checkAdoption(systemClock)), true)
})

test('where loopback refuses, the proof fails at once, and where nothing comes, it ends by its time', async (t) => {
  watchLeaks(t)
  t.equal(await within(checkAdoption(systemClock, '127.0.0.2')), false)
  let ms = 0
  const atOnce = {
    ...systemClock,
    after: (bound: number, run: () => void) => ((ms = bound), queueMicrotask(run), () => {}),
  }
  t.equal(await within(checkAdoption(atOnce)), false)
  t.equal(ms, 2000)
})
