// A stream whose DATA breaks its head is the fault of that stream (RFC 9113 section 8.1.1), though Node would end the
// whole session: the others on its connection go on. A fault of the connection ends all of them.

import { setTimeout as delay } from 'node:timers/promises'
import { test, type Test } from 'tap'
import { WEIGHED_MS } from '../../src/http2/stream-faults.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { rawH2Service, type SeenFrame } from '../support/h2-services.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const { END_STREAM, END_HEADERS } = h2
const head = (...fields: h2.Field[]): Buffer => h2.literals(...fields)
const ok: h2.Field = [':status', '200']

/** Answers each PING, as every library does. */
const pongs = (send: (bytes: Buffer) => void, { type, flags, payload }: SeenFrame): void => {
  if (type === h2.kinds.PING && (flags & h2.ACK) === 0) send(h2.frame(h2.kinds.PING, h2.ACK, 0, payload))
}

/** What a service sends on a stream that is at fault, and how far the log says that it came; null: it counts as whole. */
const malformed: Array<[string, (stream: number) => Buffer[], came: string | null]> = [
  [
    'more than its Content-Length',
    (stream) => [
      h2.headers(stream, head(ok, ['content-length', '5']), END_HEADERS),
      h2.data(stream, 'too much', END_STREAM),
    ],
    'behind 0 of 5 bytes (Content-Length)',
  ],
  [
    'more than its Content-Length, and its end apart',
    (stream) => [
      h2.headers(stream, head(ok, ['content-length', '5']), END_HEADERS),
      h2.data(stream, 'too much'),
      h2.data(stream, '', END_STREAM),
    ],
    'behind 0 of 5 bytes (Content-Length)',
  ],
  [
    'less than its Content-Length',
    (stream) => [
      h2.headers(stream, head(ok, ['content-length', '50']), END_HEADERS),
      h2.data(stream, 'too little', END_STREAM),
    ],
    'behind 10 of 50 bytes (Content-Length)',
  ],
  [
    'a field of HTTP/1.1',
    (stream) => [h2.headers(stream, head(ok, ['connection', 'close']), END_HEADERS | END_STREAM)],
    'before a head',
  ],
  [
    'a pseudo-header in its trailers',
    (stream) => [
      h2.headers(stream, head(ok), END_HEADERS),
      h2.data(stream, 'body'),
      h2.headers(stream, head(ok), END_HEADERS | END_STREAM),
    ],
    'amid its body or trailers',
  ],
  [
    'a body behind a 204',
    (stream) => [
      h2.headers(stream, head([':status', '204']), END_HEADERS),
      h2.data(stream, 'body', END_STREAM),
    ],
    null,
  ],
  [
    'a body behind an interim answer',
    (stream) => [
      h2.headers(stream, head([':status', '103']), END_HEADERS),
      h2.data(stream, 'body', END_STREAM),
    ],
    'before a head',
  ],
]

/** Two requests on one session, the answer to the second of which is malformed. `onOther` gets the other frames of the gate. */
async function beside(t: Test, answer: (stream: number) => Buffer[], onOther = pongs) {
  const streams: number[] = []
  let send: ((bytes: Buffer) => void) | null = null
  const service = await rawH2Service(
    t,
    (to, stream) => {
      send = to
      streams.push(stream)
    },
    onOther,
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`,
  ])
  const honest = await httpClient(t, gate.port)
  // It is not safe to send again: no retry hides a lost session.
  await honest.send(get('/', 'Content-Length: 2\r\n', 'POST') + 'hi')
  await eventually(() => streams.length === 1)
  const other = await httpClient(t, gate.port)
  await other.send(get('/bad', 'Content-Length: 2\r\n', 'POST') + 'hi')
  await eventually(() => streams.length === 2)
  send!(Buffer.concat(answer(streams[1]!)))
  return {
    gate,
    other,
    /** Answers the first request; it arrives, on that session. */
    async answerHonest() {
      send!(
        Buffer.concat([
          h2.headers(streams[0]!, head(ok), END_HEADERS),
          h2.data(streams[0]!, 'whole', END_STREAM),
        ]),
      )
      const whole = await honest.answer()
      t.same([whole.status, String(whole.body)], [200, 'whole'])
      t.equal(service.connections.length, 1)
      honest.wire.end()
      other.wire.end()
    },
  }
}

for (const [name, answer, came] of malformed)
  test(`an answer of a service with ${name} cuts no other answer of its session`, async (t) => {
    watchLeaks(t)
    const { gate, other, answerHonest } = await beside(t, answer)
    await eventually(() => other.wire.bytes > 0 || other.wire.outcome !== null)
    await delay(WEIGHED_MS + 200)
    await answerHonest()
    await gate.end(1)
    const details = gate.lines.map(({ detail }) => detail ?? null)
    const told = "RST_STREAM: PROTOCOL_ERROR, the service's or for a malformed answer, "
    t.same(
      details.filter((detail) => detail !== null),
      came === null ? [] : [`${told}${came}, on a connection that had served before`],
    )
  })

test('a gate that stands still while the answer to its PING is on its way ends no other stream', async (t) => {
  watchLeaks(t)
  let pings = 0
  const { answerHonest } = await beside(t, malformed[0]![1], (send, frame) => {
    pongs(send, frame)
    if (frame.type !== h2.kinds.PING || (frame.flags & h2.ACK) !== 0) return
    pings++
    // The gate is in this process.
    const until = performance.now() + WEIGHED_MS + 200
    while (performance.now() < until);
  })
  await eventually(() => pings === 1)
  await delay(WEIGHED_MS)
  await answerHonest()
})

test('a fault of the connection to a service ends all streams on it, and no further one begins there', async (t) => {
  watchLeaks(t)
  let streams = 0
  let isTold = false
  const service = await rawH2Service(
    t,
    (send, stream) => {
      streams++
      // DATA before any head is a fault of the connection.
      if (streams === 2) send(h2.data(stream, 'body', END_STREAM))
      if (streams === 3) send(h2.headers(stream, head(ok)))
    },
    (send, frame) => {
      isTold ||= frame.type === h2.kinds.GOAWAY
      pongs(send, frame)
    },
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`,
  ])
  const post = async () => {
    const client = await httpClient(t, gate.port)
    await client.send(get('/', 'Content-Length: 2\r\n', 'POST') + 'hi')
    return client
  }
  const clients = [await post()]
  await eventually(() => streams === 1)
  clients.push(await post())
  await eventually(() => isTold)
  clients.push(await post())
  const statuses = await Promise.all(clients.map(async (client) => (await client.answer()).status))
  t.same(statuses, [502, 502, 200])
  t.equal(service.connections.length, 2)
  for (const { wire } of clients) wire.end()
})

test('a malformed request of a client cuts no other request of its connection', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, () => OK)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on }`,
  ])
  const client = await rawH2(t, gate.port)
  const honest = client.request(h2.request({ ':method': 'POST' }), null)
  const other = client.request(h2.request({ ':method': 'POST', 'content-length': '1' }), null)
  await client.send(h2.data(other, 'test'))
  const ping = await client.frame(({ type, flags }) => type === h2.kinds.PING && (flags & h2.ACK) === 0)
  await client.send(h2.frame(h2.kinds.PING, h2.ACK, 0, ping!.payload))
  t.same(await client.end(other), { reset: h2.codes.PROTOCOL_ERROR })
  await delay(WEIGHED_MS + 200)
  await client.send(h2.data(honest, 'whole', END_STREAM))
  t.equal((await client.answer(honest)).status, 200)
  t.equal(String((await upstream.request()).body), 'whole')
  t.equal(client.goaway, null)
  client.wire.end()
})

test('a client that sends nothing but malformed requests loses its connection', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, () => OK)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on }`,
  ])
  const client = await rawH2(t, gate.port)
  // Without it a slow run is over after WEIGHED_MS.
  client.answersPings = true
  let sent = 0
  while (client.goaway === null && sent < 5000) {
    const stream = client.request(h2.request({ ':method': 'POST', 'content-length': '1' }), null)
    await client.send(h2.data(stream, 'test'))
    await Promise.race([client.end(stream).catch(() => null), client.wire.ended])
    sent++
  }
  t.ok(sent > 100 && sent < 2000, `after ${sent} of them`)
  t.not(await client.goodbye(), null)
})
