import { request, type IncomingHttpHeaders } from 'node:http'
import net from 'node:net'
import { test, type Test } from 'tap'
import { systemClock, type Clock } from '../../src/core/clock.ts'
import { HealthServer, type HealthServerOptions } from '../../src/ops/health-server.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { stopwatch } from '../support/stopwatch.ts'

interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

async function setUp(t: Test, options: Partial<HealthServerOptions> = {}) {
  const server = new HealthServer({
    clock: systemClock,
    isStarted: () => true,
    readiness: () => ({ ready: true, checks: [{ name: 'listeners', ok: true }] }),
    renderMetrics: async () => ({ contentType: 'text/plain; version=0.0.4', body: 'up 1\n' }),
    ...options,
  })
  const port = await server.start({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.stop())
  return { server, port, get: (path: string, method = 'GET') => ask(port, path, method) }
}

function ask(port: number, path: string, method: string): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', path, method, agent: false }, (response) => {
      let body = ''
      response.on('data', (chunk) => (body += String(chunk)))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    asked.on('error', reject)
    asked.end()
  })
}

/** A raw client: what it got, and whether the server ended it. */
function rawClient(
  t: Test,
  port: number,
  send = '',
): { socket: net.Socket; got: () => string; isClosed: () => boolean } {
  const socket = net.connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  let got = ''
  let isClosed = false
  socket.on('data', (chunk) => (got += String(chunk)))
  socket.on('error', () => {})
  socket.on('close', () => (isClosed = true))
  socket.write(send)
  return { socket, got: () => got, isClosed: () => isClosed }
}

const scrape = 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'

test('livez and its old name say ok, whatever the rest is', async (t) => {
  const { get } = await setUp(t, { isStarted: () => false, readiness: () => ({ ready: false, checks: [] }) })
  for (const path of ['/livez', '/healthz']) t.match(await get(path), { status: 200, body: 'ok\n' })
})

test('startupz follows isStarted', async (t) => {
  let isStarted = false
  const { get } = await setUp(t, { isStarted: () => isStarted })
  t.equal((await get('/startupz')).status, 503)
  isStarted = true
  t.match(await get('/startupz'), { status: 200, body: 'ok\n' })
})

test('readyz is short when ready, lists the checks when asked, and always when not ready', async (t) => {
  let ready = true
  const { get } = await setUp(t, {
    readiness: () => ({
      ready,
      checks: [
        { name: 'listeners', ok: true },
        { name: 'drain', ok: ready, ...(ready ? {} : { detail: 'since 3 s' }) },
      ],
    }),
  })
  t.match(await get('/readyz'), { status: 200, body: 'ok\n' })
  t.match(await get('/readyz?verbose'), {
    status: 200,
    body: '[+]listeners ok\n[+]drain ok\nreadyz check passed\n',
  })
  ready = false
  t.match(await get('/readyz'), {
    status: 503,
    body: '[+]listeners ok\n[-]drain failed: since 3 s\nreadyz check failed\n',
  })
})

test('metrics come with the content type of the renderer', async (t) => {
  const { get } = await setUp(t)
  t.match(await get('/metrics'), {
    status: 200,
    body: 'up 1\n',
    headers: { 'content-type': 'text/plain; version=0.0.4' },
  })
})

test('only GET and HEAD, only known paths', async (t) => {
  const { get } = await setUp(t)
  const head = await get('/livez', 'HEAD')
  t.match(head, { status: 200, body: '', headers: { 'content-length': '3' } })
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
    t.match(await get('/readyz', method), { status: 405, headers: { allow: 'GET, HEAD' } })
  }
  for (const path of ['/', '/drain', '/livez/', '/metrics/x', '//livez', '/%6civez'])
    t.equal((await get(path)).status, 404, path)
})

test('a state that throws is a bare 500, is reported, and the server goes on', async (t) => {
  const errors: unknown[] = []
  const { get } = await setUp(t, {
    readiness: () => {
      throw new Error('secret')
    },
    renderMetrics: () => Promise.reject(new Error('also')),
    onError: (error) => errors.push(error),
  })
  for (const path of ['/readyz', '/metrics'])
    t.match(await get(path), { status: 500, body: 'internal error\n' })
  t.match(errors, [{ message: 'secret' }, { message: 'also' }])
  t.equal((await get('/livez')).status, 200)
})

test('concurrent scrapes share renders', async (t) => {
  let renders = 0
  let running = 0
  let most = 0
  const { get } = await setUp(t, {
    renderMetrics: async () => {
      renders++
      most = Math.max(most, ++running)
      await new Promise<void>((resolve) => void systemClock.after(30, resolve))
      running--
      return { contentType: 'text/plain', body: `render ${renders}\n` }
    },
  })
  const replies = await Promise.all(Array.from({ length: 50 }, () => get('/metrics')))
  t.ok(replies.every(({ status }) => status === 200))
  t.ok(renders <= 10, `${renders} renders`)
  t.equal(most, 1)
})

test('a scraper that reads nothing is cut after 5 s; one that reads slowly is not', async (t) => {
  const clock: Clock & ReturnType<typeof fakeClock> = fakeClock()
  const body = 'x'.repeat(20_000_000)
  const { port } = await setUp(t, { clock, renderMetrics: async () => ({ contentType: 'text/plain', body }) })
  const stalled = rawClient(t, port, scrape)
  const slow = rawClient(t, port, scrape)
  await eventually(() => stalled.got().length > 0 && slow.got().length > 0)
  stalled.socket.pause()
  slow.socket.pause()
  for (let passed = 0; passed < 12_000; passed += 1000) {
    // The pauses make the kernel's queues full; each reading lets some pieces of the slow one go.
    const before = slow.got().length
    slow.socket.resume()
    await eventually(() => slow.got().length > before + 1_000_000 || slow.got().length >= body.length)
    slow.socket.pause()
    await clock.pass(1000)
  }
  stalled.socket.resume()
  await eventually(() => stalled.isClosed())
  t.ok(stalled.got().length < body.length)
  slow.socket.resume()
  await eventually(() => slow.got().length > body.length)
  t.notOk(slow.isClosed())
})

test('a client that sends the next request before it has its answer is cut: each would hold a text', async (t) => {
  const clock = fakeClock()
  const body = 'x'.repeat(20_000_000)
  const { port } = await setUp(t, { clock, renderMetrics: async () => ({ contentType: 'text/plain', body }) })
  const greedy = rawClient(t, port, scrape + scrape)
  await eventually(() => greedy.isClosed())
  t.ok(greedy.got().length < body.length)
})

test('requests one after the other on one connection are answered', async (t) => {
  const { port } = await setUp(t)
  const client = rawClient(t, port, scrape)
  await eventually(() => client.got().endsWith('up 1\n'))
  client.socket.write(scrape)
  await eventually(() => client.got().split('up 1\n').length === 3)
  t.notOk(client.isClosed())
})

test('a probe gets in although idle connections hold every place, and busy ones give way last', async (t) => {
  const slowRender = Promise.withResolvers<{ contentType: string; body: string }>()
  const { port, get } = await setUp(t, { maxConnections: 4, renderMetrics: () => slowRender.promise })
  const scraper = rawClient(t, port, scrape)
  await eventually(() => scraper.socket.bytesWritten > 0)
  const idle = Array.from({ length: 10 }, () => rawClient(t, port))
  await eventually(() => idle.filter(({ isClosed }) => isClosed()).length >= 7)
  t.equal((await get('/livez')).status, 200)
  t.notOk(scraper.isClosed())
  slowRender.resolve({ contentType: 'text/plain', body: 'up 1\n' })
  await eventually(() => scraper.got().endsWith('up 1\n'))
})

test('50 stalled scrapers do not keep a probe waiting', async (t) => {
  const body = 'x'.repeat(5_000_000)
  const { port, get } = await setUp(t, { renderMetrics: async () => ({ contentType: 'text/plain', body }) })
  const stalled = Array.from({ length: 50 }, () => rawClient(t, port, scrape))
  for (const { socket } of stalled) socket.pause()
  const watch = stopwatch(t)
  t.equal((await get('/livez')).status, 200)
  t.ok(watch.livedMs < 1000, `${watch.livedMs} of ${watch.ms} ms`)
})

test('start rejects when the port is taken; stop ends idle and busy connections and leaves the port free', async (t) => {
  let isRendering = false
  const { server, port } = await setUp(t, {
    renderMetrics: () => {
      isRendering = true
      return new Promise(() => {})
    },
  })
  const other = new HealthServer({
    clock: systemClock,
    isStarted: () => true,
    readiness: () => ({ ready: true, checks: [] }),
    renderMetrics: () => new Promise(() => {}),
  })
  await t.rejects(other.start({ port, host: '127.0.0.1' }), { code: 'EADDRINUSE' })
  const idle = rawClient(t, port)
  const busy = rawClient(t, port, scrape)
  await eventually(() => isRendering && !idle.socket.connecting)
  await server.stop()
  await eventually(() => idle.isClosed() && busy.isClosed())
  const again = await other.start({ port, host: '127.0.0.1' })
  t.equal(again, port)
  await other.stop()
})

test('it listens on a unix socket too', async (t) => {
  const path = `${t.testdir()}/s`
  const server = new HealthServer({
    clock: systemClock,
    isStarted: () => true,
    readiness: () => ({ ready: true, checks: [] }),
    renderMetrics: () => new Promise(() => {}),
    maxConnections: 1,
  })
  t.equal(await server.start({ path }), 0)
  t.teardown(() => server.stop())
  const first = net.connect(path)
  t.teardown(() => first.destroy())
  let isFirstClosed = false
  first
    .on('close', () => (isFirstClosed = true))
    .on('error', () => {})
    .resume()
  await eventually(() => !first.connecting)
  net
    .connect(path)
    .on('error', () => {})
    .unref()
  await eventually(() => isFirstClosed)
  t.pass()
})

test('whoever waits for the end of a drain gives way to no scraper, and cannot take all places either', async (t) => {
  const drained = Promise.withResolvers<null>()
  let waiting = 0
  const never = new Promise<{ contentType: string; body: string }>(() => {})
  const waitDrained = (): Promise<null> => (waiting++, drained.promise)
  const { port, get } = await setUp(t, { maxConnections: 8, renderMetrics: () => never, waitDrained })
  const ask = (path: string): ReturnType<typeof rawClient> =>
    rawClient(t, port, `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
  const hook = ask('/drain/wait')
  await eventually(() => waiting === 1)
  // Each is being answered before the next one comes, so that only busy ones can give way: the oldest of them is the hook.
  for (let nth = 1; nth <= 20; nth++) {
    rawClient(t, port, scrape)
    t.equal((await get('/livez')).status, 200)
  }
  t.notOk(hook.isClosed())
  const others = Array.from({ length: 20 }, () => ask('/drain/wait'))
  await eventually(() => others.filter(({ isClosed }) => isClosed()).length >= 12)
  t.equal((await get('/livez')).status, 200, 'a probe gets in')
  t.notOk(hook.isClosed())
  drained.resolve(null)
  await eventually(() => hook.got().endsWith('ok\nno drain\n'))
})
