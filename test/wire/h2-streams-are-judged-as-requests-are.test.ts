import t, { test } from 'tap'
import { once } from 'node:events'
import type { RequestListener } from 'node:http'
import net from 'node:net'
import http2 from 'node:http2'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Answer, h2Ask, h2Connect } from '../support/h2-client.ts'
import { codes } from '../support/h2-frames.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stopwatch } from '../support/stopwatch.ts'

t.setTimeout(120_000)

/** Never answers `/never`, answers `/cut` half, and other targets with their request. */
const serve: RequestListener = (request, response) => {
  let bytes = 0
  request.on('data', (chunk: Buffer) => (bytes += chunk.length))
  if (request.url === '/never') return
  if (request.url === '/cut') {
    response.writeHead(200, { 'content-length': '100' })
    response.write('half')
    return void setTimeout(() => response.destroy(), 50)
  }
  if (request.url === '/cut-chunks') {
    response.write('half')
    return void setTimeout(() => response.destroy(), 50)
  }
  if (request.url === '/stalls') {
    response.writeHead(200, { 'content-length': '100' })
    return void response.write('half')
  }
  request.on('end', () => response.end(JSON.stringify({ bytes, headers: request.headers })))
}

const listener = (port: number, keys = '', http = ''): string =>
  `protocol: http, http: { h2c: on${http} }, upstream: "127.0.0.1:${port}" ${keys}`

const byText = (one: string, other: string): number => one.localeCompare(other)

test('what a stream waits for too long it is told by a status or a code, and its connection goes on', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, serve)
  const gate = await startGate(t, [
    listener(
      port,
      ', deadlines: { response: 300ms, request: 300ms, upstreamIdle: 300ms }',
      ', maxBody: 1KiB',
    ),
  ])
  const session = await h2Connect(t, gate.port)
  const slow = session.request({ ':method': 'POST' }, { endStream: false })
  slow.write('a')
  const [never, stalls, body, large, cut, chunks] = await Promise.all([
    h2Ask(session, { ':path': '/never' }),
    h2Ask(session, { ':path': '/stalls' }),
    h2Answer(slow),
    h2Ask(session, { ':method': 'POST' }, 'x'.repeat(2000)),
    h2Ask(session, { ':path': '/cut' }),
    h2Ask(session, { ':path': '/cut-chunks' }),
  ])
  t.match(never, { status: 504, code: 0, body: /^response_timeout/ })
  t.match(stalls, { status: 200, body: 'half', code: codes.INTERNAL_ERROR })
  t.match(body, { status: 408, code: 0, body: /^request_timeout/ })
  t.match(large, { status: 413, code: 0, body: /^message_too_big/ })
  t.match(cut, { status: 200, body: 'half', code: codes.INTERNAL_ERROR })
  t.match(chunks, { status: 200, body: 'half', code: codes.INTERNAL_ERROR })
  t.match(await h2Ask(session), { status: 200 })
  const reasons = gate.lines.map((line) => String(line['close']))
  t.same(reasons.sort(byText), [
    'aborted',
    'aborted',
    'eof',
    'idle_timeout',
    'message_too_big',
    'request_timeout',
    'response_timeout',
  ])
})

test('a service that is not there is 502', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    listener(1, '').replace('"127.0.0.1:1"', '{ addresses: ["127.0.0.1:1"], retryFor: off }'),
  ])
  const session = await h2Connect(t, gate.port)
  t.match(await h2Ask(session), { status: 502, body: /^connect_refused/, code: 0 })
  t.match(await gate.end(), { reason: 'connect_refused', line: { protocol: 'http' } })
})

test('connectionsPerClient counts connections, whatever streams they have', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, serve)
  const gate = await startGate(t, [listener(port, ', limits: { connectionsPerClient: 1 }')])
  const session = await h2Connect(t, gate.port)
  const answers = await Promise.all(Array.from({ length: 50 }, () => h2Ask(session)))
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  const other = http2.connect(`http://127.0.0.1:${gate.port}`)
  t.teardown(() => other.destroy())
  await once(other, 'error')
  await eventually(async () =>
    /rejected_total\{listener="l0",reason="too_many"\} 1/.test(await gate.metrics()),
  )
  t.match(await h2Ask(session), { status: 200 })
})

test('limits.bytes are drawn once, for all streams of a connection together', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, serve)
  const gate = await startGate(t, [listener(port, ', limits: { bytes: { rate: 1MiB, burst: 256KiB } }')])
  const session = await h2Connect(t, gate.port)
  const watch = stopwatch(t)
  const body = Buffer.alloc(512 * 1024)
  const answers = await Promise.all([0, 1, 2].map(() => h2Ask(session, { ':method': 'POST' }, body)))
  const { ms, livedMs } = watch
  for (const { body: told } of answers) t.match(JSON.parse(told), { bytes: body.length })
  t.ok(ms > 1100, `${ms} ms, of 1250 for 1.5 MiB less the burst`)
  t.ok(livedMs < 2400, `${livedMs} of ${ms} ms: not twice as long`)
})

test('a client that hardly goes on with its request ends with too_slow; one that waits for its answer does not', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, serve)
  const gate = await startGate(t, [listener(port, ', limits: { minRate: { bytes: 1KiB, after: 500ms } }')])
  const session = await h2Connect(t, gate.port)
  const waits = session.request({ ':path': '/never' })
  const slow = session.request({ ':method': 'POST' }, { endStream: false })
  waits.on('error', () => {})
  const timer = setInterval(() => slow.write('x'), 50)
  t.teardown(() => clearInterval(timer))
  const answer = h2Answer(slow)
  t.match(await gate.end(), { reason: 'too_slow', side: 'client', line: { protocol: 'http' } })
  clearInterval(timer)
  t.match(await answer, { status: 408 })
  t.equal(gate.lines.length, 1)
  t.notOk(waits.closed)
})

test('of a peer that names its clients each stream is of the client that it names', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, serve)
  const gate = await startGate(t, [
    listener(port, ', access: { deny: [10.6.6.6/32] }', ', trustForwarded: [127.0.0.0/8]'),
  ])
  const session = await h2Connect(t, gate.port)
  const of = (client: string) => h2Ask(session, { 'x-forwarded-for': client })
  const [good, bad] = await Promise.all([of('10.1.1.1'), of('10.6.6.6')])
  t.match(good, { status: 200 })
  t.match(JSON.parse(good.body), { headers: { 'x-forwarded-for': '10.1.1.1, 127.0.0.1' } })
  t.match(bad, { status: 403 })
  await gate.end(1)
  t.same(gate.lines.map((line) => String(line['client'])).sort(byText), ['10.1.1.1', '10.6.6.6'])
})

test('behind a PROXY header, and with a certificate of the client: the service hears of both', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, serve)
  const ca = authority(t)
  const [server, client] = [ca.issue('server'), ca.issue('somebody')]
  const { cert, key } = client
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${port}", http: { clientCertificate: forward }, proxyProtocol: { accept: v1, trusted: [127.0.0.0/8] }, tls: { cert: "${server.cert}", key: "${server.key}", clientCa: "${ca.cert}" }`,
  ])
  const raw = net.connect(gate.port, '127.0.0.1')
  raw.write('PROXY TCP4 10.2.3.4 10.0.0.1 4321 443\r\n')
  const tls = await import('node:tls')
  const { readFileSync } = await import('node:fs')
  const socket = tls.connect({
    socket: raw,
    servername: 'localhost',
    ca: readFileSync(ca.cert),
    cert: readFileSync(cert),
    key: readFileSync(key),
    ALPNProtocols: ['h2'],
  })
  await once(socket, 'secureConnect')
  const session = http2.connect('https://localhost', { createConnection: () => socket })
  t.teardown(() => session.destroy())
  const { headers } = JSON.parse((await h2Ask(session)).body) as { headers: Record<string, string> }
  t.equal(headers['x-forwarded-for'], '10.2.3.4')
  t.equal(headers['x-forwarded-proto'], 'https')
  t.match(headers['x-forwarded-client-cert'], /CN=somebody/)
})

test('HEAD, no content, interim answers, an expectation and trailers mean what they mean', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, (request, response) => {
    if (request.method === 'HEAD') return void response.writeHead(200, { 'content-length': '100' }).end()
    if (request.url === '/204') return void response.writeHead(204).end()
    if (request.url === '/304') return void response.writeHead(304, { etag: '"a"' }).end()
    if (request.url === '/hints') {
      response.writeEarlyHints({ link: '</a.css>; rel=preload' })
      return void setTimeout(() => response.end('hinted'), 20)
    }
    if (request.url === '/trailers') {
      response.writeHead(200, { trailer: 'x-sum' })
      response.write('body')
      response.addTrailers({ 'x-sum': '42' })
      return void response.end()
    }
    request.resume().on('end', () => response.end(JSON.stringify(request.trailers)))
  })
  const gate = await startGate(t, [listener(port)])
  const session = await h2Connect(t, gate.port)
  t.match(await h2Ask(session, { ':method': 'HEAD' }), {
    status: 200,
    body: '',
    code: 0,
    headers: { 'content-length': '100' },
  })
  t.match(await h2Ask(session, { ':path': '/204' }), { status: 204, body: '', code: 0 })
  t.match(await h2Ask(session, { ':path': '/304' }), { status: 304, code: 0, headers: { etag: '"a"' } })
  const hinted = session.request({ ':path': '/hints' })
  const interim = once(hinted, 'headers')
  const answer = h2Answer(hinted)
  t.match(await interim, [{ ':status': 103, link: '</a.css>; rel=preload' }])
  t.match(await answer, { status: 200, body: 'hinted' })
  t.match(await h2Ask(session, { ':path': '/trailers' }), {
    body: 'body',
    trailers: { 'x-sum': '42' },
    code: 0,
  })
  const expecting = session.request({ ':method': 'POST', expect: '100-continue' }, { endStream: false })
  const told = h2Answer(expecting)
  await once(expecting, 'continue')
  expecting.end('body')
  t.match(await told, { status: 200, code: 0 })
  const trailing = session.request({ ':method': 'POST' }, { endStream: false, waitForTrailers: true })
  trailing.on('wantTrailers', () => trailing.sendTrailers({ 'x-last': 'words' }))
  const said = h2Answer(trailing)
  trailing.end('body')
  t.match(JSON.parse((await said).body), { 'x-last': 'words' })
})

test('a reload reaches open connections by its deadlines, new ones by http.maxStreams', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, serve)
  const gate = await startGate(t, [listener(port)])
  const session = await h2Connect(t, gate.port)
  const never = h2Ask(session, { ':path': '/never' })
  await eventually(() => gate.registry.size === 2)
  t.match(await gate.reload([listener(port, ', deadlines: { response: 200ms }', ', maxStreams: 7')]), {
    result: 'success',
  })
  t.match(await never, { status: 504 })
  t.equal(session.remoteSettings.maxConcurrentStreams, 100)
  const next = await h2Connect(t, gate.port)
  t.equal(next.remoteSettings.maxConcurrentStreams, 7)
})
