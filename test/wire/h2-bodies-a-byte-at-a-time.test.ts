// Bodies in DATA frames of one byte each, more of them than chunks of HTTP/1.1 may be so small.

import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { h2Connect } from '../support/h2-client.ts'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { h2Service, OK, rawH2Service } from '../support/h2-services.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stopwatch } from '../support/stopwatch.ts'

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

const SMALL = { frames: 8000, bytes: 20 }
/** More than its burst, in frames that go on as one piece in each turn; and queues of little more than one buffer. */
const LIMITED = 'limits: { bytes: { rate: 128KiB, burst: 64KiB } }'
const TIGHT = 'memory: { buffered: 160KiB }'

/** Bytes by which an order, a gap or a repetition shows. */
const body = Buffer.from(
  Array.from({ length: SMALL.frames * SMALL.bytes }, (_, nth) => (nth * 7 + (nth >> 8)) & 0xff),
)

/** Each write becomes a frame, as far as the window of the stream allows. */
async function writeSmall(stream: Writable): Promise<void> {
  for (let nth = 0; nth < SMALL.frames; nth++) {
    const isFull = !stream.write(body.subarray(nth * SMALL.bytes, (nth + 1) * SMALL.bytes))
    if (isFull) await once(stream, 'drain')
  }
  stream.end()
}

test('small frames over limits.bytes are delayed and arrive as they were, where memory.buffered is small', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, (request, response) => {
    const pieces: Buffer[] = []
    request.on('data', (chunk: Buffer) => pieces.push(chunk))
    request.on('end', () => response.end(String(Buffer.concat(pieces).equals(body))))
  })
  const service = await h2Service(t, (stream) => {
    stream.respond({ ':status': 200 })
    void writeSmall(stream)
  })
  const gate = await startGate(
    t,
    [
      `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${port}", ${LIMITED}`,
      `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }, ${LIMITED}`,
    ],
    {},
    TIGHT,
  )
  const watch = stopwatch(t)
  const upload = (await h2Connect(t, gate.ports[0]!)).request({ ':method': 'POST' })
  const download = (await h2Connect(t, gate.ports[1]!)).request()
  const [, answer, answered] = await Promise.all([writeSmall(upload), buffer(upload), buffer(download)])
  t.equal(answer.toString(), 'true')
  t.ok(answered.equals(body))
  t.ok(watch.livedMs > 600, `${watch.livedMs} ms`)
  const limited = readSamples(await gate.metrics()).sum('sidegate_rate_limited_total', { limit: 'bytes' })
  t.ok(limited > 1, `${limited} delays`)
})
