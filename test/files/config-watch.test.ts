import { test, type Test } from 'tap'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { watchConfig } from '../../src/files/config-watch.ts'
import { POLL_MS, SETTLE_MS } from '../../src/files/directory-watch.ts'
import { eventually, within } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { watchLeaks } from '../support/leaks.ts'

// The first watch of a process opens a descriptor of libuv's that stays, which is no leak: open it now.
watch(tmpdir()).close()

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'sidegate-watch-'))
  t.teardown(() => rmSync(path, { recursive: true, force: true }))
  return path
}

function watching(t: Test, file: string, clock: Clock): { changes: () => number } {
  let changes = 0
  const watched = watchConfig({ file, clock, onChange: () => void changes++ })
  t.teardown(() => watched.stop())
  return { changes: () => changes }
}

/** As the kubelet does it: a new directory, a new symlink, one rename. */
function swap(mount: string, nth: number, text: string): void {
  mkdirSync(join(mount, `..2026_${nth}`))
  writeFileSync(join(mount, `..2026_${nth}`, 'sidegate.yaml'), text)
  symlinkSync(`..2026_${nth}`, join(mount, '..data_tmp'))
  renameSync(join(mount, '..data_tmp'), join(mount, '..data'))
}

test('every swap of a mounted ConfigMap is noticed, the second and third as the first', async (t) => {
  watchLeaks(t)
  const mount = folder(t)
  swap(mount, 0, 'first')
  symlinkSync('..data/sidegate.yaml', join(mount, 'sidegate.yaml'))
  // Real events, and a clock that passes a second at once: the test is of the watch.
  const clock: Clock = { ...systemClock, after: (ms, run) => systemClock.after(ms / 20, run) }
  const { changes } = watching(t, join(mount, 'sidegate.yaml'), clock)
  for (let nth = 1; nth <= 3; nth += 1) {
    const before = changes()
    swap(mount, nth, `text ${nth}`)
    await eventually(() => changes() > before, { what: `swap ${nth} to be noticed` })
    // The events of one swap may fall into two windows.
    let seen = changes()
    await eventually(() => seen === (seen = changes()), { what: 'quiet' })
  }
})

test('an editor that writes, or renames over the file, is noticed once it has settled; other files are not looked at', async (t) => {
  watchLeaks(t)
  const directory = folder(t)
  const file = join(directory, 'sidegate.yaml')
  writeFileSync(file, 'first')
  const clock = fakeClock()
  const { changes } = watching(t, file, clock)
  for (const change of [
    () => writeFileSync(file, 'second'),
    () => (writeFileSync(`${file}~`, 'third'), renameSync(`${file}~`, file)),
  ]) {
    const before = changes()
    change()
    await eventually(() => clock.armed.after === 1, { what: 'the watch to hear of it' })
    await clock.pass(SETTLE_MS - 1)
    t.equal(changes(), before)
    await clock.pass(1)
    t.equal(changes(), before + 1)
  }
  // A watch of the test's own shows when the event has come; the gate's watch gets it in the same turn.
  const heard = Promise.withResolvers<void>()
  const other = watch(directory, (_event, name) => name === 'access.log' && heard.resolve())
  t.teardown(() => other.close())
  writeFileSync(join(directory, 'access.log'), 'other')
  await within(heard.promise, { what: 'the event of another file' })
  await new Promise<void>((resolve) => setImmediate(resolve))
  t.equal(clock.armed.after, 0)
  const before = changes()
  writeFileSync(file, 'fourth')
  await eventually(() => clock.armed.after === 1)
  await clock.pass(SETTLE_MS)
  t.equal(changes(), before + 1)
  other.close()
})

test('a directory in which something goes on all the time is looked at once in a while, not never', async (t) => {
  const directory = folder(t)
  const file = join(directory, 'sidegate.yaml')
  const clock = fakeClock()
  const { changes } = watching(t, file, clock)
  for (let round = 1; round <= 3; round += 1) {
    writeFileSync(file, `${round}`)
    await eventually(() => clock.armed.after === 1)
    await clock.pass(SETTLE_MS / 2)
    writeFileSync(file, `${round} and more`)
    await clock.pass(SETTLE_MS / 2)
    t.ok(changes() >= round)
  }
})

test('it looks by itself every fifteen seconds, for mounts that tell nothing', async (t) => {
  const clock = fakeClock()
  const { changes } = watching(t, join(folder(t), 'sidegate.yaml'), clock)
  await clock.pass(POLL_MS - 1)
  t.equal(changes(), 0)
  await clock.pass(1)
  t.equal(changes(), 1)
  await clock.pass(2 * POLL_MS)
  t.equal(changes(), 3)
})

test('a directory that does not exist yet is watched once it does', async (t) => {
  watchLeaks(t)
  const directory = join(folder(t), 'later')
  const clock = fakeClock()
  const { changes } = watching(t, join(directory, 'sidegate.yaml'), clock)
  mkdirSync(directory)
  await clock.pass(POLL_MS)
  t.equal(changes(), 1)
  writeFileSync(join(directory, 'sidegate.yaml'), 'text')
  await eventually(() => clock.armed.after === 1, { what: 'the watch to hear of it' })
})

test('a watch that is stopped leaves nothing, and tells nothing any more', async (t) => {
  watchLeaks(t)
  const directory = folder(t)
  const clock = fakeClock()
  let changes = 0
  const watched = watchConfig({
    file: join(directory, 'sidegate.yaml'),
    clock,
    onChange: () => void changes++,
  })
  writeFileSync(join(directory, 'sidegate.yaml'), 'text')
  await eventually(() => clock.armed.after === 1)
  watched.stop()
  t.same([clock.armed.after, clock.armed.every], [0, 0])
  await clock.pass(POLL_MS)
  t.equal(changes, 0)
})
