import { test } from 'tap'
import type { Test } from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import { HealthCheck } from '../../src/upstream/health-check.ts'
import type { Checked } from '../../src/upstream/finding.ts'
import type { HealthCheckOptions } from '../../src/upstream/health-check.ts'
import { probe } from '../../src/upstream/probe.ts'
import type { ProbeOptions } from '../../src/upstream/probe-talk.ts'
import { asLiteral } from '../../src/upstream/literal.ts'
import type { Target } from '../../src/upstream/dial.ts'
import { eventually } from '../support/eventually.ts'
import { joinPort } from '../../src/core/address.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { echo, flooder, listen, mute, refuser, resetter } from '../support/peers.ts'
import { directDial } from './parts.ts'
import { backlogFull } from '../support/processes.ts'
import { wsServer } from '../support/websocket.ts'

const at = (port: number): Target => ({ host: '127.0.0.1', port })
type Look = Pick<ProbeOptions, 'type' | 'path'> & Partial<ProbeOptions> & { target: Target }
const withDial = ({ target, ...options }: Look): ProbeOptions => ({
  host: joinPort('127.0.0.1', (target as { port?: number }).port ?? 0),
  headers: {},
  status: [{ from: 200, to: 399 }],
  ...options,
  dial: directDial(() => target, systemClock),
})
const look = (options: Look): Promise<string | null> =>
  new Promise((resolve) => probe(withDial(options), resolve))
const http = (status: string) => (t: Test) =>
  recordingUpstream(t, () => `HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nno`)

test('tcp: who accepts is well, who refuses is not', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  t.equal(await look({ type: 'tcp', target: at(upstream.port), path: '/' }), null)
  await upstream.connections[0]!.ended
  t.equal(await look({ type: 'tcp', target: at(refuser(t).port), path: '/' }), 'ECONNREFUSED')
  const localhost = asLiteral({ host: 'localhost', port: upstream.port })!
  t.equal(await look({ type: 'tcp', target: localhost, path: '/' }), null)
})

test('http: 2xx and 3xx are well; the request is a plain GET of the path', async (t) => {
  watchLeaks(t)
  for (const [status, problem] of [
    ['200 OK', null],
    ['204 No', null],
    ['399 X', null],
    ['400 X', 'status 400 X: no'],
    ['503 X', 'status 503 X: no'],
  ] as const) {
    const upstream = await http(status)(t)
    t.equal(await look({ type: 'http', target: at(upstream.port), path: '/healthz?x=1' }), problem, status)
    const seen = await upstream.request()
    t.match(seen, { method: 'GET', target: '/healthz?x=1' })
    t.same(
      [seen.header('host'), seen.header('user-agent'), seen.header('connection')],
      [`127.0.0.1:${upstream.port}`, 'sidegate-health-check', 'close'],
    )
  }
})

test('http: what is no answer is a problem, an answer without end is none', async (t) => {
  watchLeaks(t)
  const garbage = await listen(t, (wire) => wire.write('hello\r\n\r\n'))
  t.match(await look({ type: 'http', target: at(garbage.port), path: '/' }), /^HPE_/)
  t.match(await look({ type: 'http', target: at((await resetter(t, 1)).port), path: '/' }), /ECONNRESET/)
  t.match(await look({ type: 'http', target: at((await flooder(t)).port), path: '/' }), /^HPE_/)
  const endless = await listen(t, (wire) => wire.write('HTTP/1.1 200 OK\r\n\r\nand so on'))
  t.equal(await look({ type: 'http', target: at(endless.port), path: '/' }), null)
  await endless.connections[0]!.ended
  const upgraded = await listen(t, (wire) =>
    wire.write('HTTP/1.1 101 Yes\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
  )
  t.equal(await look({ type: 'http', target: at(upgraded.port), path: '/' }), 'status 101')
})

test('http over a unix socket', async (t) => {
  watchLeaks(t)
  const folder = mkdtempSync(join(tmpdir(), 'sidegate-'))
  const path = join(folder, 's')
  const server = createServer((_, response) => void response.end('well'))
  await new Promise<void>((resolve) => server.listen(path, resolve))
  t.teardown(() => (server.close(), rmSync(folder, { recursive: true })))
  t.equal(await look({ type: 'http', target: { path }, path: '/' }), null)
})

test('websocket: opened, pinged, answered, and closed with 1000', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  t.equal(await look({ type: 'websocket', target: at(upstream.port), path: '/ws' }), null)
  const seen = await upstream.connection()
  t.same([seen.url, seen.pings.length, await seen.closed], ['/ws', 1, { code: 1000, reason: '' }])
})

test('websocket: a service without WebSocket, one that answers no ping, and one that sends too much are not well', async (t) => {
  watchLeaks(t)
  const plain = await http('200 OK')(t)
  t.match(
    await look({ type: 'websocket', target: at(plain.port), path: '/' }),
    /Unexpected server response: 200/,
  )
  const deaf = await wsServer(t, { autoPong: false })
  let found: string | null | undefined
  const asked = probe(
    withDial({ type: 'websocket', target: at(deaf.port), path: '/' }),
    (problem) => (found = problem),
  )
  await eventually(async () => (await deaf.connection()).pings.length === 1)
  t.same([asked.giveUp(), found], ['no answer', undefined])
  await (
    await deaf.connection()
  ).closed
  const loud = await wsServer(t, { autoPong: false })
  const heard = look({ type: 'websocket', target: at(loud.port), path: '/' })
  ;(await loud.connection()).socket.send(Buffer.alloc(65 * 1024))
  t.match(await heard, /WS_ERR_UNSUPPORTED_MESSAGE_LENGTH/)
})

test('websocket: a greeting of 64 KiB is no problem', async (t) => {
  watchLeaks(t)
  const greeter = await wsServer(t, { autoPong: false })
  const heard = look({ type: 'websocket', target: at(greeter.port), path: '/' })
  const { socket, pings } = await greeter.connection()
  socket.send(Buffer.alloc(64 * 1024))
  await eventually(() => pings.length === 1)
  socket.pong()
  t.equal(await heard, null)
})

const usual: HealthCheckOptions = {
  type: 'tcp',
  path: '/',
  host: null,
  headers: {},
  status: [{ from: 200, to: 399 }],
  intervalMs: 10_000,
  timeoutMs: 2000,
  healthy: 2,
  unhealthy: 3,
}

function checking(t: Test, target: () => Target, options: Partial<HealthCheckOptions> = {}) {
  const clock = fakeClock()
  const checks: Checked[] = []
  const turns: string[] = []
  const check = new HealthCheck({ ...usual, ...options }, 'a', {
    clock,
    random: () => 0.5,
    dial: directDial(target, clock),
    onChecked: (checked) => checks.push(checked),
    onTurned: (state) => turns.push(state),
  })
  t.teardown(() => check.stop())
  /** Lets the next check begin and end. */
  const next = async (ms = 10_000) => {
    const before = checks.length
    await clock.pass(ms)
    await eventually(() => checks.length > before, { what: 'a check' })
    return check.state
  }
  return { clock, check, checks, turns, next }
}

test('three failures in a row make an address unhealthy, two passes healthy again; what is between counts anew', async (t) => {
  watchLeaks(t)
  const good = at((await echo(t)).port)
  const bad = at(refuser(t).port)
  let now = good
  const { next, turns, check } = checking(t, () => now)
  t.equal(check.state, 'unknown')
  t.equal(await next(500), 'healthy', 'the first one comes within a second, and one is enough')
  now = bad
  t.same([await next(), await next()], ['healthy', 'healthy'])
  now = good
  t.equal(await next(), 'healthy')
  now = bad
  t.same(
    [await next(), await next(), await next(), await next()],
    ['healthy', 'healthy', 'unhealthy', 'unhealthy'],
  )
  now = good
  t.equal(await next(), 'unhealthy')
  now = bad
  t.equal(await next(), 'unhealthy')
  now = good
  t.same([await next(), await next()], ['unhealthy', 'healthy'])
  t.same(turns, ['unhealthy', 'healthy'])
})

test('an address that was never well becomes unhealthy after as many failures', async (t) => {
  watchLeaks(t)
  const bad = at(refuser(t).port)
  const { next, check } = checking(t, () => bad)
  t.same([await next(500), await next(), await next()], ['unknown', 'unknown', 'unhealthy'])
  t.match(check.last, { problem: 'ECONNREFUSED' })
})

test('a check that hangs is given up after its timeout, not before, and no second one begins meanwhile', async (t) => {
  watchLeaks(t)
  const upstream = await mute(t)
  const { clock, checks, check } = checking(t, () => at(upstream.port), {
    type: 'http',
    intervalMs: 1000,
    timeoutMs: 30_000,
  })
  await clock.pass(500)
  await upstream.connection()
  await clock.pass(29_999)
  t.same([checks.length, upstream.connections.length], [0, 1])
  await clock.pass(1)
  t.same(
    checks.map(({ problem, tookMs }) => ({ problem, tookMs })),
    [{ problem: 'no answer', tookMs: 30_000 }],
  )
  check.stop()
})

test('an address whose backlog is full fails its check', async (t) => {
  watchLeaks(t)
  const upstream = await backlogFull(t)
  const problems: Array<string | null> = []
  const check = new HealthCheck({ ...usual, intervalMs: 100, timeoutMs: 50 }, 'a', {
    clock: systemClock,
    random: () => 0,
    dial: directDial(() => at(upstream.port), systemClock),
    onChecked: ({ problem }) => problems.push(problem),
    onTurned: () => {},
  })
  t.teardown(() => check.stop())
  await eventually(() => check.state === 'unhealthy')
  t.same(problems, ['no answer', 'no answer', 'no answer'])
})

test('a process that stood still while an answer came does not take it for a late one', async (t) => {
  watchLeaks(t)
  const upstream = await mute(t)
  const { clock, checks } = checking(t, () => at(upstream.port), { type: 'http' })
  await clock.pass(500)
  const wire = await upstream.connection()
  void wire.write('HTTP/1.1 200 OK\r\n\r\n')
  clock.freeze(60_000)
  await clock.pass(0)
  await eventually(() => checks.length === 1)
  t.equal(checks[0]!.problem, null)
})

test('http: the Host and the headers of a check are those that are asked for, and the answer passes that is asked for', async (t) => {
  watchLeaks(t)
  const upstream = await http('401 Who')(t)
  const status = [
    { from: 200, to: 204 },
    { from: 401, to: 401 },
  ]
  t.equal(
    await look({
      type: 'http',
      target: at(upstream.port),
      path: '/',
      host: 'app.example:81',
      headers: { 'user-agent': 'mine', 'X-Key': 'k' },
      status,
    }),
    null,
  )
  const seen = await upstream.request()
  t.same(
    [seen.header('host'), seen.header('user-agent'), seen.header('x-key')],
    ['app.example:81', 'mine', 'k'],
  )
  t.equal(seen.headers.filter(([name]) => /^(host|user-agent)$/i.test(name)).length, 2)
  t.match(
    await look({ type: 'http', target: at((await http('302 Found')(t)).port), path: '/', status }),
    'status 302 Found: no',
  )
})

test('http: what is wrong is said in the words of the service, cut short and without what could break a line', async (t) => {
  watchLeaks(t)
  const body = `Bad \x1b[31m\nHost${'!'.repeat(1000)}`
  const upstream = await recordingUpstream(
    t,
    () => `HTTP/1.1 400 Bad Request\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  const said = await look({ type: 'http', target: at(upstream.port), path: '/' })
  t.match(said, /^status 400 Bad Request: Bad \[31m Host!+$/)
  t.ok(said!.length < 160)
  const silent = await recordingUpstream(t, () => 'HTTP/1.1 503 No\r\nContent-Length: 9\r\n\r\n')
  // Each time it is given up later, until the head was there.
  await eventually(async () => {
    const nth = silent.requests.length
    const asked = probe(withDial({ type: 'http', target: at(silent.port), path: '/' }), () => {})
    await silent.request(nth)
    await delay(5 * nth)
    return asked.giveUp() === 'status 503 No'
  })
})

test('websocket: the Host and the headers of a check are those that are asked for', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, () => 'HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n')
  t.match(
    await look({
      type: 'websocket',
      target: at(upstream.port),
      path: '/',
      host: 'app.example',
      headers: { Origin: 'https://app.example' },
    }),
    /Unexpected server response: 403/,
  )
  const seen = await upstream.request()
  t.same([seen.header('host'), seen.header('origin')], ['app.example', 'https://app.example'])
})
