// Bodies in DATA frames of one byte each, more of them than chunks of HTTP/1.1 may be so small.

import { test } from 'tap'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { OK, rawH2Service } from '../support/h2-services.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'

const BYTES = 17_500
const PATIENT = { withinMs: 60_000 }
const { END_HEADERS, END_STREAM } = h2

const bytes = (stream: number): Buffer =>
  Buffer.concat([
    ...Array.from({ length: BYTES - 1 }, () => h2.data(stream, 'x')),
    h2.data(stream, 'x', END_STREAM),
  ])

test('an upload of a client arrives', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, (request, response) => {
    let length = 0
    request.on('data', (chunk: Buffer) => (length += chunk.length))
    request.on('end', () => response.end(String(length)))
  })
  const gate = await startGate(t, [`protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${port}"`])
  const client = await rawH2(t, gate.port)
  const id = client.request(h2.request({ ':method': 'POST' }), null)
  await client.send(bytes(id))
  t.match(await client.answer(id, PATIENT), { status: 200, body: Buffer.from(String(BYTES)) })
  client.wire.destroy()
})

test('an answer of a service arrives', async (t) => {
  watchLeaks(t)
  const service = await rawH2Service(t, (send, stream) => {
    send(h2.headers(stream, OK, END_HEADERS))
    send(bytes(stream))
  })
  const upstream = `{ addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`
  const gate = await startGate(t, [`protocol: http, http: { h2c: on }, upstream: ${upstream}`])
  const client = await rawH2(t, gate.port)
  t.equal((await client.answer(client.request(), PATIENT)).body.length, BYTES)
  client.wire.destroy()
})
