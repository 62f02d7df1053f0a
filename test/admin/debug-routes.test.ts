import { request } from 'node:http'
import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { eventually, within } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { setUp } from './admin.ts'
import type { Row } from './admin.ts'

const room = { heapBytes: 100, neededBytes: 1000, availableBytes: 1000, limitBytes: null }

/** A clock whose `after` of the given length is over at once, so that a profile of a minute takes none. */
function hasty(ms: number) {
  const asked: number[] = []
  const clock = {
    ...systemClock,
    after: (given: number, run: () => void) =>
      given === ms ? (asked.push(given), systemClock.after(1, run)) : systemClock.after(given, run),
  }
  return { clock, asked }
}

test('a CPU profile is a download that tools open, of as many seconds as were asked for', async (t) => {
  const { clock, asked } = hasty(60_000)
  const { get } = await setUp(t, { clock })
  const { status, headers, body } = await get('/debug/cpuprofile?seconds=60', {}, 'POST')
  t.equal(status, 200)
  t.match(headers['content-disposition'], /^attachment; filename="sidegate-[\dT-]+\.cpuprofile"$/)
  const profile = JSON.parse(body) as {
    nodes: unknown[]
    samples: unknown[]
    startTime: number
    endTime: number
  }
  t.ok(profile.nodes.length > 0 && profile.endTime > profile.startTime)
  t.same(asked, [60_000])
})

test('a heap profile is a download, of 30 seconds unless told', async (t) => {
  const { clock, asked } = hasty(30_000)
  const { get } = await setUp(t, { clock })
  const { headers, body } = await get('/debug/heapprofile', {}, 'POST')
  t.match(headers['content-disposition'], /\.heapprofile"$/)
  t.type((JSON.parse(body) as Row)['head'], 'object')
  t.same(asked, [30_000])
})

test('a profile has 1 to 60 seconds', async (t) => {
  const { get } = await setUp(t)
  for (const path of ['/debug/cpuprofile', '/debug/heapprofile']) {
    for (const seconds of ['0', '61', '-1', '1.5', 'x', ''])
      t.equal((await get(`${path}?seconds=${seconds}`, {}, 'POST')).status, 400, `${path} ${seconds}`)
  }
})

test('what is not understood is refused', async (t) => {
  const { get } = await setUp(t, { snapshotRoom: () => room })
  for (const query of [
    'cpuprofile?second=5',
    'heapprofile?force=1',
    'heapsnapshot?force=true',
    'heapsnapshot?force=',
    'heapsnapshot?seconds=1',
  ]) {
    t.equal((await get(`/debug/${query}`, {}, 'POST')).status, 400, query)
  }
})

test('one at a time: a second asker is told so; one that leaves makes room at once', async (t) => {
  const clock = fakeClock()
  const { port, get } = await setUp(t, { clock })
  const first = request({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/debug/cpuprofile?seconds=60',
    agent: false,
  })
  first.on('error', () => {})
  first.end()
  await eventually(() => clock.armed.after > 0, { what: 'the profile to run' })
  for (const path of ['/debug/cpuprofile', '/debug/heapprofile', '/debug/heapsnapshot?force=1']) {
    const { status, body } = await get(path, {}, 'POST')
    t.equal(status, 409, path)
    t.match((JSON.parse(body) as Row)['error'], /another profile/)
  }
  first.destroy()
  await eventually(() => clock.armed.after === 0, { what: 'the profile to be given up' })
  const again = get('/debug/cpuprofile?seconds=1', {}, 'POST')
  await eventually(() => clock.armed.after > 0, { what: 'the next profile to run' })
  await clock.pass(1000)
  t.equal((await within(again)).status, 200)
})

test('a profile that is under way ends with the server', async (t) => {
  const clock = fakeClock()
  const { server, get } = await setUp(t, { clock })
  const asked = t.rejects(get('/debug/heapprofile', {}, 'POST'))
  await eventually(() => clock.armed.after > 0, { what: 'the profile to run' })
  await within(server.stop())
  await asked
  await eventually(() => clock.armed.after === 0)
})

test('a snapshot that fits is taken: the whole heap, as JSON', async (t) => {
  const { get } = await setUp(t, { snapshotRoom: () => room })
  const { status, headers, body } = await get('/debug/heapsnapshot', {}, 'POST')
  t.equal(status, 200)
  t.match(headers['content-disposition'], /\.heapsnapshot"$/)
  t.equal(headers['content-length'], undefined)
  const { snapshot } = JSON.parse(body) as { snapshot: { node_count: number } }
  t.ok(snapshot.node_count > 1000)
})

test('a snapshot that may not fit is refused with the numbers', async (t) => {
  const tight = { ...room, neededBytes: 1001, limitBytes: 2000 }
  const { get } = await setUp(t, { snapshotRoom: () => tight })
  const { status, body } = await get('/debug/heapsnapshot', {}, 'POST')
  t.equal(status, 409)
  t.match(JSON.parse(body) as Row, { error: /force=1/, ...tight })
})

test('a snapshot that may not fit is taken if that is insisted on; who leaves in the middle of it gives its place back', async (t) => {
  const { clock } = hasty(1000)
  const { port, get } = await setUp(t, { clock, snapshotRoom: () => ({ ...room, neededBytes: 1001 }) })
  const status = await new Promise((resolve, reject) => {
    const asked = request(
      { port, host: '127.0.0.1', method: 'POST', path: '/debug/heapsnapshot?force=1', agent: false },
      (response) => {
        response.once('data', () => {
          response.on('error', () => {})
          response.destroy()
          resolve(response.statusCode)
        })
      },
    )
    asked.on('error', reject).end()
  })
  t.equal(status, 200)
  await eventually(async () => (await get('/debug/cpuprofile?seconds=1', {}, 'POST')).status === 200, {
    what: 'the place to be free',
    withinMs: 30_000,
  })
})
