// A service that cannot be reached may be gone for good while its gate stays: a pod that ends, whose application stops first. A client of
// HTTP/1.1 is told by `Connection: close`, and a client of HTTP/2 by GOAWAY: each finds another pod by its next connection.

import type { Test } from 'tap'
import { test } from 'tap'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { goaways, h2Answer, h2Ask, h2Connect } from '../support/h2-client.ts'
import { watchLeaks } from '../support/leaks.ts'
import { refuser } from '../support/peers.ts'

const listener = (port: number, keys = ''): string =>
  `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], retryFor: off${keys} }, http: { h2c: on }`

/** A service that holds back its answers, and a client of a gate before it whose first request waits for one. */
async function withRequest(t: Test, keys = '') {
  watchLeaks(t)
  const waiting: ServerResponse[] = []
  const server = createServer((request, response) => {
    if (request.url === '/fails') response.writeHead(503).end('busy')
    else if (request.url === '/cut') request.socket.destroy()
    else waiting.push(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const gate = await startGate(t, [listener((server.address() as AddressInfo).port, keys)])
  const session = await h2Connect(t, gate.port)
  const came = goaways(session)
  const answer = h2Ask(session)
  const response = await eventually(() => waiting[0])
  return { gate, session, came, answer, response, stopListening: () => void server.close() }
}

const CONNECT = { ':method': 'CONNECT', ':protocol': 'websocket', 'sec-websocket-version': '13' }
const CALL = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' }

test('each kind of request to a service that is not there is answered, and its connection is asked to leave', async (t) => {
  for (const [kind, headers, expected] of [
    ['a request', {}, { status: 502, code: 0 }],
    ['a call of gRPC', CALL, { status: 200, headers: { 'grpc-status': '14' }, code: 0 }],
    ['a WebSocket', CONNECT, { status: 502, code: 0 }],
  ] as const) {
    await t.test(kind, async (t) => {
      watchLeaks(t)
      const protocol = kind === 'a call of gRPC' ? ', protocol: h2c' : ''
      const gate = await startGate(t, [listener(refuser(t).port, protocol)])
      const session = await h2Connect(t, gate.port)
      const came = goaways(session)
      const stream = session.request({ ':path': '/', ...headers }, { endStream: kind === 'a request' })
      t.match(await h2Answer(stream), expected)
      t.match(await gate.end(0), { reason: 'connect_refused', side: 'upstream' })
      t.match(await gate.end(1), {
        reason: 'upstream_unhealthy',
        side: 'upstream',
        detail: 'a stream did not reach the service (connect_refused)',
        line: { protocol: 'h2' },
      })
      t.match(came[0], { code: 0, last: 0x7fff_ffff, why: 'upstream_unhealthy' })
    })
  }
})

test('so it is where no address is healthy', async (t) => {
  watchLeaks(t)
  const health = ', healthCheck: { type: tcp, interval: 100ms, timeout: 1s, healthy: 1, unhealthy: 2 }'
  const gate = await startGate(t, [listener(refuser(t).port, health)])
  const session = await h2Connect(t, gate.port)
  const came = goaways(session)
  const status = async (): Promise<number> => (await h2Ask(await h2Connect(t, gate.port))).status
  await eventually(async () => (await status()) === 503, { what: 'an address that is unhealthy' })
  t.match(await h2Ask(session), { status: 503 })
  await eventually(() => came.length > 0, { what: 'a GOAWAY' })
  t.match(came[0], { why: 'upstream_unhealthy' })
})

test('what such a connection has begun is served to its end', async (t) => {
  const { gate, session, came, answer, response, stopListening } = await withRequest(t)
  stopListening()
  t.match(await h2Ask(session), { status: 502 })
  await eventually(() => came.length >= 2, { what: 'two GOAWAYs' })
  response.end('whole')
  t.match(await answer, { status: 200, body: 'whole', code: 0 })
  t.match(await gate.end(2), { reason: 'upstream_unhealthy', line: { protocol: 'h2' } })
})

test('a drain and a reload that meet such a connection wait for what it has begun', async (t) => {
  for (const meets of ['drain', 'reload'] as const) {
    await t.test(meets, async (t) => {
      const { gate, session, came, answer, response, stopListening } = await withRequest(t)
      stopListening()
      t.match(await h2Ask(session), { status: 502 })
      await eventually(() => came.length >= 2, { what: 'two GOAWAYs' })
      const done = meets === 'drain' ? gate.drain(20_000) : gate.reload([listener(refuser(t).port)])
      response.end('whole')
      t.match(await answer, { status: 200, body: 'whole', code: 0 })
      t.match(await done, meets === 'drain' ? { forced: 0 } : {})
      t.match(await gate.end(2), { line: { protocol: 'h2' } })
    })
  }
})

test('a service that fails, that cuts its answer, or whose client does not wait for it, ends no connection', async (t) => {
  const { session, came, answer, response } = await withRequest(t)
  t.match(await h2Ask(session, { ':path': '/fails' }), { status: 503, body: 'busy' })
  t.match(await h2Ask(session, { ':path': '/cut', ':method': 'POST' }), { status: 502 })
  const left = session.request({ ':path': '/left' }).on('error', () => {})
  left.close(8)
  response.end('whole')
  t.match(await answer, { status: 200, body: 'whole', code: 0 })
  t.match(await h2Ask(session, { ':path': '/fails' }), { status: 503 }, 'it goes on')
  t.same(came, [])
})

test('a service without room for one more is not gone', async (t) => {
  const full = ', maxConnections: 1, queueTimeout: 100ms'
  const { gate, session, came, answer, response } = await withRequest(t, full)
  t.match(await h2Ask(session), { status: 503 })
  t.match(await gate.end(), { reason: 'no_upstream', side: 'upstream', phase: 'connect' })
  response.end('whole')
  t.match(await answer, { status: 200, body: 'whole', code: 0 })
  t.match(await h2Ask(session, { ':path': '/fails' }), { status: 503, body: 'busy' }, 'it goes on')
  t.same(came, [])
})
