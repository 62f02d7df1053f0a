import { test } from 'tap'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import net from 'node:net'
import { assertNoLeaks, leaks, resources, watchLeaks } from './leaks.ts'

test('resources count an open descriptor and an armed timer', (t) => {
  const before = resources()
  const fd = openSync('/dev/null', 'r')
  const timer = setTimeout(() => {}, 1000)
  t.match(leaks(before), [
    `fd: ${before['fd']} before, ${before['fd']! + 1} now`,
    /^Timeout: \d before, \d now$/,
  ])
  clearTimeout(timer)
  closeSync(fd)
  t.same(leaks(before), [])
  t.end()
})

test('less than before is no leak', (t) => {
  t.same(leaks({ fd: 3, Timeout: 2 }, { fd: 3 }), [])
  t.end()
})

test('assertNoLeaks waits for what is on its way to be closed', async (t) => {
  const before = resources()
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.match(leaks(before), [/^fd: /, /^TCPServerWrap: 0 before, 1 now$/])
  setTimeout(() => server.close(), 20)
  await assertNoLeaks(t, before)
})

test('assertNoLeaks fails with the difference', async (t) => {
  const before = resources()
  const fd = openSync('/dev/null', 'r')
  const seen: unknown[][] = []
  const recorder = Object.assign(Object.create(t) as typeof t, {
    ok: (...given: unknown[]) => seen.push(given) > 0,
  })
  await assertNoLeaks(recorder, before, { withinMs: 20 })
  closeSync(fd)
  t.match(seen, [[false, String, { leaks: [`fd: ${before['fd']} before, ${before['fd']! + 1} now`] }]])
})

test('watchLeaks fails the test that leaves something behind', async (t) => {
  const teardowns: (() => unknown)[] = []
  const recorder = Object.assign(Object.create(t) as typeof t, {
    teardown: (run: () => unknown) => teardowns.push(run),
  })
  watchLeaks(recorder, { withinMs: 20 })
  const fd = openSync('/dev/null', 'r')
  await t.rejects(async () => teardowns[0]!(), { message: /^left behind: fd: \d+ before, \d+ now$/ })
  closeSync(fd)
  await t.resolves(async () => teardowns[0]!())
})
