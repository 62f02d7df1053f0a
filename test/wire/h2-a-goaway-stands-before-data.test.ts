// A client that has to leave while answers flow: the data after the GOAWAY in the same write of node:http2 is
// no part of it.

import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { ACK, codes, frame, kinds, request } from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { heldBack } from '../support/held-back.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'

const LARGE = 40_000_000

test('an answer that flows while its client is asked to leave arrives whole, and the connection ends well', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, (_request, response) => response.end(Buffer.alloc(LARGE, 'x')))
  const gate = await startGate(t, [
    `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${port}", deadlines: { lifetime: 100ms, lifetimeJitter: off }`,
  ])
  const client = await rawH2(t, gate.port)
  const id = client.request(request({ ':path': '/' }))
  await client.head(id)
  const between = await client.frame(({ type, flags }) => type === kinds.PING && (flags & ACK) === 0)
  client.wire.stopReading()
  const connection = await eventually(() => gate.registry.get(1))
  await heldBack(connection, 'to_client')
  const { received } = connection.toUpstream
  // The GOAWAY for good has to wait, and more of the answer with it.
  void client.send(frame(kinds.PING, ACK, 0, between!.payload))
  await eventually(() => connection.toUpstream.received > received)
  client.wire.resumeReading()
  const { status, body } = await client.answer(id)
  t.same([status, body.length], [200, LARGE])
  t.equal(await client.goodbye(), codes.NO_ERROR)
  t.match(await gate.end(1), { reason: 'lifetime_timeout', line: { protocol: 'h2' } })
})
