// PINGs to services that speak HTTP/2: rare enough for those of gRPC, and only while the service owes an
// answer.

import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { startGate } from '../support/gate.ts'
import { END_HEADERS, frame, h2Service, HEADERS, OK, rawH2Service } from '../support/h2-services.ts'
import { connect } from '../support/peers.ts'

const MINUTE = 60_000
const CALL =
  'POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nTransfer-Encoding: chunked\r\n\r\n'
const to = (port: number, pings: string): string =>
  `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c }, deadlines: { idle: 2h }${pings}`
/** The time is the test's; turns of the event loop come as usual. */
const slowClock = (): FakeClock => ({ ...fakeClock(), nextTurn: systemClock.nextTurn })

for (const [pings, least, most] of [
  [', websocket: { ping: { to: both } }', 10, 11],
  [', websocket: { ping: { to: upstream } }', 10, 11],
  ['', 0, 0],
] as const)
  test(`in an hour of silence a service gets ${least === most ? 'none, on loopback' : 'a PING every five minutes'} (${pings})`, async (t) => {
    const clock = slowClock()
    let asked = 0
    const service = await h2Service(t, (stream) => {
      stream.session!.on('ping', () => asked++)
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
    })
    const gate = await startGate(t, [to(service.port, pings)], { clock })
    const client = await connect(t, gate.port)
    await client.write(CALL)
    await eventually(() => client.bytes > 0)
    for (let minute = 0; minute < 60; minute++) await clock.pass(MINUTE)
    t.ok(asked >= least && asked <= most, `${asked} PINGs`)
    t.notOk(service.streams[0]!.destroyed)
    client.reset()
    await eventually(() => service.ended.length === 1)
    const before = asked
    // Without a stream the gate sends no PING, and the session ends.
    for (let minute = 0; minute < 10; minute++) await clock.pass(MINUTE)
    t.equal(asked, before)
  })

test('a service that answers none of three PINGs ends its call with ping_timeout', async (t) => {
  const clock = slowClock()
  const service = await rawH2Service(t, (send, stream) => send(frame(HEADERS, END_HEADERS, stream, OK)))
  const gate = await startGate(t, [to(service.port, ', websocket: { ping: { to: both } }')], { clock })
  const client = await connect(t, gate.port)
  await client.write(CALL)
  await eventually(() => client.bytes > 0)
  for (let minute = 0; minute < 15; minute++) await clock.pass(MINUTE)
  t.equal(gate.lines.length, 0)
  for (let minute = 0; minute < 2; minute++) await clock.pass(MINUTE)
  t.match(await gate.end(), {
    reason: 'ping_timeout',
    side: 'upstream',
    detail: /answered no PING/,
  })
})
