import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { RecordingUpstream, Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

async function path(
  t: Test,
  respond?: Respond,
  http = '',
): Promise<{ gate: Gate; upstream: RecordingUpstream }> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  return {
    upstream,
    gate: await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"${http}`]),
  }
}

const late: Respond = () => new Promise((resolve) => setTimeout(() => resolve(OK), 300))

test('a client that ends its half behind its request gets its answer, however late, and FIN', async (t) => {
  const { gate } = await path(t, late)
  for (const request of ['GET / HTTP/1.0\r\n\r\n', get(), get('/', 'Content-Length: 2\r\n', 'POST') + 'ab']) {
    const { bytes, closed } = await requestRaw(t, gate.port, request, { half: true })
    t.match(parseAnswer(bytes), { status: 200, isWhole: true })
    t.equal(closed.kind, 'fin')
  }
  for (const nth of [0, 1, 2]) t.match(await gate.end(nth), { reason: 'eof', side: 'client', phase: 'relay' })
})

test('15 MB reach a client that ended its half before the first byte of them', async (t) => {
  const body = Buffer.alloc(15_000_000, 'x')
  const { gate } = await path(t, () =>
    Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body]),
  )
  const { bytes, closed } = await requestRaw(t, gate.port, 'GET / HTTP/1.0\r\n\r\n', {
    half: true,
    withinMs: 30_000,
  })
  t.equal(parseAnswer(bytes).body.length, body.length)
  t.equal(closed.kind, 'fin')
})

test('all requests of a pipeline that ends with FIN are answered, the last with Connection: close', async (t) => {
  const { gate, upstream } = await path(
    t,
    ({ target }) => `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`,
  )
  const { bytes } = await requestRaw(t, gate.port, get('/1') + get('/2') + get('/3'), { half: true })
  let rest = bytes
  for (const target of ['/1', '/2', '/3']) {
    const answer = parseAnswer(rest)
    // A client that gets this reads no further.
    t.same(
      [answer.status, answer.body.toString(), answer.header('connection')],
      [200, target, target === '/3' ? 'close' : 'keep-alive'],
    )
    rest = answer.rest
  }
  t.equal(rest.length, 0)
  t.equal(upstream.requests.length, 3)
})

test('a FIN inside a request is no request: nothing complete reaches the service', async (t) => {
  const { gate, upstream } = await path(t)
  for (const [nth, begun] of [
    'GET / HTTP/1.1\r\nHos',
    get('/', 'Content-Length: 10\r\n', 'POST') + 'abc',
    get('/', 'Transfer-Encoding: chunked\r\n', 'POST') + '5\r\nab',
  ].entries()) {
    await requestRaw(t, gate.port, begun, { half: true })
    t.match(await gate.end(nth), { reason: 'aborted', side: 'client' })
  }
  t.same(upstream.requests, [])
})

test('with http.abortOnHalfClose: on such a client has left, and its request goes with it', async (t) => {
  const { gate, upstream } = await path(t, () => undefined, ', http: { abortOnHalfClose: on }')
  const client = await httpClient(t, gate.port, { halfOpen: true })
  await client.send(get())
  const { wire } = await upstream.request()
  client.wire.end()
  t.match(await gate.end(), { reason: 'aborted', side: 'client' })
  await eventually(() => wire.hasEnded || wire.outcome !== null)
})

test('a client that has pipelined and then resets is seen to leave, though its next request waits', async (t) => {
  const { gate, upstream } = await path(t, () => undefined)
  const client = await httpClient(t, gate.port)
  await client.send(get('/1') + get('/2'))
  const { wire } = await upstream.request()
  client.wire.reset()
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
  await eventually(() => wire.hasEnded || wire.outcome !== null)
})
