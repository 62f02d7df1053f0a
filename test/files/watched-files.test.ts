import { test } from 'tap'
import type { Test } from 'tap'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { watchFiles } from '../../src/files/watched-files.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { watchLeaks } from '../support/leaks.ts'
import { temporary } from '../support/tools.ts'

interface Watched {
  directory: string
  clock: FakeClock
  changes: () => number
  stop: () => void
  /** An event of the directory has come: the time to settle runs. */
  settling: () => Promise<unknown>
  /** Changes that the next poll reports, whatever events come. */
  polled: () => Promise<number>
}

/** A mounted directory with `..data` and the file `a`, which leads through it; watched. */
function watched(t: Test): Watched {
  watchLeaks(t)
  const directory = temporary(t)
  version(directory, 1, 'one')
  symlinkSync('..data/a', join(directory, 'a'))
  const clock = fakeClock()
  let count = 0
  const stop = watchFiles([join(directory, 'a')], { clock, onChange: () => count++ })
  t.teardown(stop)
  return {
    directory,
    clock,
    stop,
    changes: () => count,
    settling: () => eventually(() => clock.armed.after === 1, { what: 'an event of the directory' }),
    async polled() {
      const before = count
      await clock.pass(15_000)
      await eventually(() => count > before)
      return count - before
    },
  }
}

function version(directory: string, nth: number, content: string): void {
  mkdirSync(join(directory, `..v${nth}`))
  writeFileSync(join(directory, `..v${nth}`, 'a'), content)
  symlinkSync(`..v${nth}`, join(directory, '..tmp'))
  renameSync(join(directory, '..tmp'), join(directory, '..data'))
  if (nth > 1) rmSync(join(directory, `..v${nth - 1}`), { recursive: true })
}

test('each swap of the ..data link is told once, half a second after its first event', async (t) => {
  const { directory, clock, changes, settling } = watched(t)
  for (let nth = 2; nth < 6; nth++) {
    version(directory, nth, `version ${nth}`)
    await settling()
    await clock.pass(499)
    t.equal(changes(), nth - 2, 'not before it has settled')
    await clock.pass(1)
    await eventually(() => changes() === nth - 1)
  }
  t.equal(changes(), 4)
})

test('a swap to the same content, and a touch, are no change', async (t) => {
  const { directory, clock, changes, settling } = watched(t)
  version(directory, 2, 'one')
  await settling()
  await clock.pass(500)
  writeFileSync(join(directory, 'other'), 'x')
  await settling()
  await clock.pass(500)
  await clock.pass(15_000)
  t.equal(changes(), 0)
})

test('what no event tells of is found by the poll', async (t) => {
  const { directory, polled } = watched(t)
  // In the directory behind the link, which nobody watches.
  writeFileSync(join(directory, '..v1', 'a'), 'changed in place')
  t.equal(await polled(), 1)
})

test('a file that goes and comes back is told both times, and its directory too', async (t) => {
  const { directory, polled } = watched(t)
  rmSync(directory, { recursive: true })
  t.equal(await polled(), 1)
  mkdirSync(directory)
  writeFileSync(join(directory, 'a'), 'again')
  t.equal(await polled(), 1)
})

test('nothing is told once it is stopped, and nothing is left', async (t) => {
  const { directory, clock, changes, settling, stop } = watched(t)
  version(directory, 2, 'two')
  await settling()
  stop()
  await clock.pass(20_000)
  t.equal(changes(), 0)
  t.same(clock.armed, { every: 0, after: 0, nextTurn: 0 })
})
