// Clients that take only small heads (SETTINGS_MAX_HEADER_LIST_SIZE): no larger one is sent to them. Netty, and so gRPC
// in Java with its 8 KiB, ends the whole connection for one, with the calls of all others on it.

import { once } from 'node:events'
import type { ClientHttp2Session, ClientHttp2Stream, OutgoingHttpHeaders } from 'node:http2'
import { test } from 'tap'
import type { Test } from 'tap'
import { http2Codes } from '../../src/core/close.ts'
import { startGate } from '../support/gate.ts'
import { h2Connect } from '../support/h2-client.ts'
import { h2Service } from '../support/h2-services.ts'

const LIMIT = 4096
const CALL = { ':method': 'POST', ':path': '/a.B/C', 'content-type': 'application/grpc' }

/** A service whose answers have so many bytes in one field of the head, and of the trailers; a client with that limit. */
async function setUp(t: Test, { inHead = 0, inTrailers = 0, limit = LIMIT }) {
  const fields = (bytes: number): OutgoingHttpHeaders => (bytes === 0 ? {} : { 'x-large': 'x'.repeat(bytes) })
  const service = await h2Service(t, (stream) => {
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', ...fields(inHead) },
      { waitForTrailers: true },
    )
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', ...fields(inTrailers) }))
    stream.end('body')
  })
  const gate = await startGate(t, [
    `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`,
  ])
  const session = await h2Connect(t, gate.port, {
    options: { settings: { maxHeaderListSize: limit }, maxHeaderListPairs: 100 },
  })
  return { gate, session }
}

async function ask(session: ClientHttp2Session, head: OutgoingHttpHeaders) {
  const stream: ClientHttp2Stream = session.request(head)
  let body = ''
  const came: OutgoingHttpHeaders = {}
  stream.on('error', () => {})
  stream.on('response', (headers) => Object.assign(came, headers))
  stream.on('trailers', (headers) => Object.assign(came, headers))
  stream.on('data', (bytes: Buffer) => (body += String(bytes)))
  stream.end()
  await once(stream, 'close').catch(() => {})
  return { came, body, code: stream.rstCode }
}

test('a head over the limit of its client is refused, and the client keeps its connection', async (t) => {
  const { gate, session } = await setUp(t, { inHead: LIMIT })
  const detail =
    /^an answer head of \d+ bytes for a client that takes 4096 \(its SETTINGS_MAX_HEADER_LIST_SIZE\)/
  t.match(await ask(session, CALL), { came: { ':status': 200, 'grpc-status': '8' }, code: 0 })
  t.match(await gate.end(0), { reason: 'message_too_big', side: 'upstream', detail })
  t.match(await ask(session, { ':path': '/' }), { came: { ':status': 502 }, code: 0 })
  t.notOk(session.destroyed)
})

test('trailers over the limit end their stream, behind all of the body', async (t) => {
  const { gate, session } = await setUp(t, { inTrailers: LIMIT })
  const { came, body, code } = await ask(session, CALL)
  t.match(came, { ':status': 200, 'grpc-status': undefined })
  t.same([body, code], ['body', http2Codes.ENHANCE_YOUR_CALM])
  t.match(await gate.end(0), { reason: 'message_too_big', side: 'upstream', detail: /^trailers of / })
  t.notOk(session.destroyed)
})

test('what is within the limit passes, and anything to a client that names none', async (t) => {
  for (const options of [
    { inHead: LIMIT - 500, inTrailers: LIMIT - 500 },
    { inHead: 10_000, inTrailers: 10_000, limit: 2 ** 32 - 1 },
  ]) {
    const { session } = await setUp(t, options)
    const { came, body, code } = await ask(session, CALL)
    t.match(came, { ':status': 200, 'grpc-status': '0', 'x-large': /^x+$/ })
    t.same([body, code], ['body', 0])
  }
})
