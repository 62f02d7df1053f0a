import { test } from 'tap'
import type { Test } from 'tap'
import http from 'node:http'
import { Sweep } from '../../src/core/clock.ts'
import { fixed } from '../../src/core/live.ts'
import { HttpPool } from '../../src/upstream/http-pool.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { OK, recordingUpstream } from '../support/http-peers.ts'
import type { RecordingUpstream, Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

interface Path {
  pool: HttpPool
  sweep: Sweep
  clock: FakeClock
  upstream: RecordingUpstream
  get: (path?: string, isFresh?: boolean) => Promise<{ status: number; isReused: boolean }>
}

const client = { clientAddress: '127.0.0.1:1', localAddress: null }

async function path(t: Test, respond?: Respond): Promise<Path> {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, respond)
  const clock = fakeClock()
  const sweep = new Sweep(clock)
  const pool = new HttpPool({ dial: { target: { host: '127.0.0.1', port: upstream.port }, from: null, noDelay: true, read: { readBytes: 65_536, isShared: false }, secure: null }, deadlines: fixed({ connectMs: 1000 }), proxyProtocol: null }, clock, sweep)
  t.teardown(() => pool.destroy())
  const get: Path['get'] = (path = '/', isFresh = false) =>
    new Promise((resolve, reject) => {
      pool.next = { client, path, isFresh, maxHeaderBytes: 4096, binding: null }
      const request = http.get({ host: '127.0.0.1', port: upstream.port, agent: pool, path: '/other' }, (answer) => {
        pool.hint(answer.socket, String(answer.headers['keep-alive']))
        answer.resume().on('end', () => setImmediate(() => resolve({ status: answer.statusCode ?? 0, isReused: request.reusedSocket })))
      })
      pool.next = null
      request.on('error', reject)
    })
  return { pool, sweep, clock, upstream, get }
}

test('a connection is kept and used again, for the path that was asked for', async (t) => {
  const { get, upstream, pool } = await path(t)
  t.same(await get('/a?'), { status: 200, isReused: false })
  t.equal(pool.idle, 1)
  for (let i = 0; i < 20; i++) t.same(await get('//b'), { status: 200, isReused: true })
  t.same([upstream.connections.length, upstream.requests[0]!.target, upstream.requests[1]!.target], [1, '/a?', '//b'])
})

test('a fresh request uses no connection that was used before, and closes those', async (t) => {
  const { get, upstream, pool } = await path(t)
  await Promise.all([get(), get(), get()])
  t.equal(pool.idle, 3)
  t.same(await get('/', true), { status: 200, isReused: false })
  await Promise.all(upstream.connections.slice(0, 3).map(({ ended }) => ended))
  t.equal(pool.idle, 1)
})

test('an idle connection is closed after 4 s, not before, and the sweep forgets an empty pool', async (t) => {
  const { get, upstream, pool, clock, sweep } = await path(t)
  await get()
  t.equal(sweep.size, 1)
  await clock.pass(3999)
  t.equal(pool.idle, 1)
  t.equal((await get()).isReused, true, 'and is counted anew')
  await clock.pass(3750)
  t.equal(pool.idle, 1)
  await clock.pass(500)
  await upstream.connections[0]!.ended
  await eventually(() => pool.idle === 0)
  t.equal(sweep.size, 0)
  t.equal((await get()).isReused, false)
})

test('an upstream that keeps its connections shortly is believed, less a margin', async (t) => {
  const { get, pool, clock } = await path(t, () => 'HTTP/1.1 200 OK\r\nKeep-Alive: max=9, timeout=3\r\nContent-Length: 0\r\n\r\n')
  await get()
  await clock.pass(1999)
  t.equal(pool.idle, 1)
  await clock.pass(251)
  await eventually(() => pool.idle === 0)
  pool.hint({} as never, 'timeout=x')
})

test('one that was closed a moment ago is not used in its place', async (t) => {
  let kept = 0
  const { get, pool, clock } = await path(t, () => `HTTP/1.1 200 OK\r\nKeep-Alive: timeout=${kept++ === 0 ? 60 : 2}\r\nContent-Length: 0\r\n\r\n`)
  await Promise.all([get(), get()])
  t.equal(pool.idle, 2)
  pool.sweep(clock.now() + 2500)
  t.same(await get(), { status: 200, isReused: true })
})

test('one that says something while idle is gone before the next request', async (t) => {
  const { get, upstream, pool } = await path(t)
  await get()
  await upstream.connections[0]!.write('HTTP/1.1 200 OK\r\n\r\n')
  await upstream.connections[0]!.ended
  t.equal(pool.idle, 0)
  t.equal((await get()).isReused, false)
})

test('no more than 64 are kept idle', async (t) => {
  const { get, upstream, pool } = await path(t)
  await Promise.all(Array.from({ length: 70 }, () => get()))
  t.equal(upstream.connections.length, 70)
  t.equal(pool.idle, 64)
})

test('an answer head over its bound, or of many lines, is not shortened in silence', async (t) => {
  const heads = [`X: ${'x'.repeat(5000)}\r\n`, 'X: y\r\n'.repeat(2500)]
  let next = 0
  const { get, pool, upstream } = await path(t, () => `HTTP/1.1 200 OK\r\n${heads[next]}Content-Length: 0\r\n\r\n`)
  await t.rejects(get(), { code: 'HPE_HEADER_OVERFLOW' })
  next = 1
  pool.next = { client, path: '/', isFresh: false, maxHeaderBytes: 100_000, binding: null }
  const lines = await new Promise<number>((resolve) => {
    http.get({ host: '127.0.0.1', port: upstream.port, agent: pool }, (answer) => {
      answer.resume()
      resolve(answer.rawHeaders.length / 2)
    })
  })
  t.equal(lines, 2501)
})

test('a destroyed pool leaves nothing', async (t) => {
  const { get, pool, sweep, upstream } = await path(t)
  await Promise.all([get(), get()])
  pool.destroy()
  await Promise.all(upstream.connections.map(({ ended }) => ended))
  t.same([pool.idle, sweep.size], [0, 0])
})

test('a pool whose address is given up closes what idles, and what is in use goes on', async (t) => {
  const answers: Array<() => void> = []
  const { get, pool, upstream } = await path(t, ({ target }) => (target === '/slow' ? new Promise((resolve) => answers.push(() => resolve(OK))) : OK))
  await Promise.all([get(), get()])
  const slow = get('/slow')
  await eventually(() => answers.length === 1)
  t.equal(pool.idle, 1)
  pool.dropIdle()
  await eventually(() => upstream.connections.filter(({ hasEnded }) => hasEnded).length === 1)
  answers[0]!()
  t.same(await slow, { status: 200, isReused: true })
})
