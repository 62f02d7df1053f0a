// A malformed stream of HTTP/2 ends alone (h2-a-malformed-stream-ends-alone.test.ts), in a drain as well: behind the GOAWAY
// with which a drain tells a client, or while a service's session is kept for its last answers, the other streams are
// finished, none counts as cut, and the drain is over once they are.

import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import { WEIGHED_MS } from '../../src/http2/stream-faults.ts'
import { eventually, isSettled, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import type { RawH2 } from '../support/h2-raw.ts'
import { rawH2Service } from '../support/h2-services.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const { END_STREAM, END_HEADERS } = h2
const PING_ACK = (payload: Buffer): Buffer => h2.frame(h2.kinds.PING, h2.ACK, 0, payload)
const times = { minDurationMs: 0, spreadMs: 0, timeoutMs: 30_000 }

/** Answers the pings of the gate from now on, as every library does. */
function answersPings(t: { teardown(run: () => void): void }, client: RawH2): void {
  let seen = 0
  const timer = setInterval(() => {
    for (; seen < client.frames.length; seen++) {
      const { type, flags, payload } = client.frames[seen]!
      if (type === h2.kinds.PING && (flags & h2.ACK) === 0) void client.send(PING_ACK(payload))
    }
  }, 5)
  t.teardown(() => clearInterval(timer))
}

for (const when of ['before its GOAWAY', 'behind its GOAWAY'])
  test(`a malformed request ${when} leaves the other streams to a drain`, async (t) => {
    watchLeaks(t)
    const release = Promise.withResolvers<void>()
    const upstream = await recordingUpstream(t, async () => {
      await release.promise
      return OK
    })
    const gate = await startGate(t, [
      `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${upstream.port}"`,
    ])
    const client = await rawH2(t, gate.port)
    answersPings(t, client)
    const honest = client.request()
    const bad = client.request(
      [...h2.request({ ':method': 'POST', ':path': '/bad' }), ['content-length', '5']],
      null,
    )
    await upstream.request()
    const fault = h2.data(bad, 'too much', END_STREAM)
    if (when === 'before its GOAWAY') void client.send(fault)
    const drained = gate.operator.drain('admin', times)
    await eventually(() => client.goaway, { what: 'its GOAWAY' })
    if (when !== 'before its GOAWAY') void client.send(fault)
    t.match(await client.end(bad), { reset: h2.codes.PROTOCOL_ERROR })
    await delay(WEIGHED_MS + 200)
    t.equal(await isSettled(drained), false)
    release.resolve()
    t.match(await client.answer(honest), { status: 200 })
    await within(client.wire.ended)
    client.wire.end()
    t.equal(client.goaway?.code, 0)
    t.match(await within(drained), { forced: 0, cut: 0 })
  })

test('a malformed answer in a drain ends alone, and the last answers of its session arrive', async (t) => {
  watchLeaks(t)
  const streams: number[] = []
  let send: ((bytes: Buffer) => void) | null = null
  const service = await rawH2Service(
    t,
    (to, stream) => {
      send = to
      streams.push(stream)
    },
    (to, { type, flags, payload }) => {
      if (type === h2.kinds.PING && (flags & h2.ACK) === 0) to(PING_ACK(payload))
    },
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`,
  ])
  const [honest, other] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  await honest.send(get('/', 'Content-Length: 2\r\n', 'POST') + 'hi')
  await eventually(() => streams.length === 1)
  await other.send(get('/bad', 'Content-Length: 2\r\n', 'POST') + 'hi')
  await eventually(() => streams.length === 2)
  const drained = gate.operator.drain('admin', times)
  await eventually(() => gate.operator.drainState === 'parting')
  const ok: h2.Field = [':status', '200']
  send!(
    Buffer.concat([
      h2.headers(streams[1]!, h2.literals([':status', '204']), END_HEADERS),
      h2.data(streams[1]!, 'body', END_STREAM),
    ]),
  )
  await eventually(() => other.wire.bytes > 0 || other.wire.outcome !== null)
  await delay(WEIGHED_MS + 200)
  t.equal(await isSettled(drained), false)
  send!(
    Buffer.concat([
      h2.headers(streams[0]!, h2.literals(ok), END_HEADERS),
      h2.data(streams[0]!, 'whole', END_STREAM),
    ]),
  )
  const whole = await honest.answer()
  t.same([whole.status, String(whole.body), whole.header('connection')], [200, 'whole', 'close'])
  for (const { wire } of [honest, other]) wire.end()
  t.match(await within(drained), { forced: 0, cut: 0 })
})
