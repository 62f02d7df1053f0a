// Calls of gRPC as the engine judges them: by HTTP/1.1 in front of a service that speaks HTTP/2, so that the
// test controls each byte.

import { setImmediate as turn } from 'node:timers/promises'
import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { eventually } from '../support/eventually.ts'
import { fakeClock } from '../support/fake-clock.ts'
import type { FakeClock } from '../support/fake-clock.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Service } from '../support/h2-services.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { connect } from '../support/peers.ts'
import { readSamples } from '../metrics/samples.ts'

const HOUR = 3_600_000
const CALL =
  'POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\nGrpc-Timeout: 5S\r\nTransfer-Encoding: chunked\r\n'
const to = (port: number, more = ''): string =>
  `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], protocol: h2c, retryFor: off }${more}`

/** The time is the test's; turns of the event loop come as usual. */
const slowClock = (): FakeClock => ({ ...fakeClock(), nextTurn: systemClock.nextTurn })

/** The values that are not 0, by that label. */
async function counted(gate: Gate, name: string, label: string): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const [series, value] of readSamples(await gate.metrics()).values) {
    const of = new RegExp(`^${name}\\{.*\\b${label}="([^"]*)"`).exec(series)?.[1]
    if (of !== undefined && value > 0) found[of] = (found[of] ?? 0) + value
  }
  return found
}

test('te: trailers and grpc-timeout reach the service, its trailers the caller, and its code is counted', async (t) => {
  const asked: unknown[] = []
  const service = await h2Service(t, (stream, { ':path': path, te, 'grpc-timeout': timeout }) => {
    asked.push({ te, timeout })
    if (path === '/no') return stream.respond({ ':status': 200, 'grpc-status': '12' }, { endStream: true })
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'grpc-message': 'fine' }))
    stream.pipe(stream)
    return
  })
  const gate = await startGate(t, [to(service.port)])
  const { bytes } = await requestRaw(t, gate.port, `${CALL}Connection: close\r\n\r\n5\r\nhello\r\n0\r\n\r\n`)
  t.equal(String(parseAnswer(bytes).body), 'hello')
  t.match(String(bytes), /\r\n0\r\ngrpc-status: 0\r\ngrpc-message: fine\r\n\r\n$/)
  t.same(asked, [{ te: 'trailers', timeout: '5S' }])
  await requestRaw(t, gate.port, `${CALL.replace('/a.B/C', '/no')}Connection: close\r\n\r\n0\r\n\r\n`)
  t.same(await counted(gate, 'sidegate_grpc_responses_total', 'grpc_status'), { 0: 1, 12: 1 })
  t.match(
    await counted(gate, 'sidegate_outcomes_total', 'outcome'),
    { good: 1, bad: 1 },
    'UNIMPLEMENTED is no success',
  )
})

test('a refusal is a grpc-status, and is counted as one', async (t) => {
  const gate = await startGate(t, [to(1)])
  const { bytes } = await requestRaw(t, gate.port, `${CALL}\r\n0\r\n\r\n`)
  const answer = parseAnswer(bytes)
  t.equal(answer.status, 200)
  t.equal(answer.header('grpc-status'), '14')
  t.match(answer.header('grpc-message'), /^connect_refused: ECONNREFUSED/)
  t.same(await counted(gate, 'sidegate_grpc_responses_total', 'grpc_status'), { 14: 1 })
  t.match(await counted(gate, 'sidegate_outcomes_total', 'outcome'), { bad: 1 })
})

for (const isAnswered of [true, false])
  test(`a call that is quiet for all but an hour lives ${isAnswered ? 'once it is answered' : 'without an answer'}; after deadlines.idle it ends`, async (t) => {
    const clock = slowClock()
    const service = await h2Service(t, (stream) => {
      if (isAnswered) stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
    })
    const gate = await startGate(t, [to(service.port)], { clock })
    const client = await connect(t, gate.port)
    await client.write(`${CALL}\r\n5\r\nhello\r\n`)
    await eventually(() => service.streams.length === 1)
    if (isAnswered) await eventually(() => client.bytes > 0)
    for (let i = 0; i < 59; i++) await clock.pass(HOUR / 60)
    await turn()
    t.notOk(service.streams[0]!.destroyed, 'alive after 59 minutes')
    // A byte restarts the hour.
    await client.write('5\r\nhello\r\n')
    const bytes = service.streams[0]!
    await eventually(() => bytes.readableLength === 10)
    await clock.pass(500)
    for (let i = 0; i < 59; i++) await clock.pass(HOUR / 60)
    t.notOk(service.streams[0]!.destroyed, 'alive after 59 minutes more')
    for (let i = 0; i < 2; i++) await clock.pass(HOUR / 60)
    t.match(await gate.end(), { reason: 'idle_timeout', side: 'upstream', detail: /deadlines\.idle/ })
    await eventually(() => service.ended.length === 1)
  })

test('what is no call has deadlines.request and deadlines.response as ever', async (t) => {
  const clock = slowClock()
  const service = await h2Service(t, () => {})
  const gate = await startGate(t, [to(service.port)], { clock })
  const client = await connect(t, gate.port)
  await client.write(`${CALL.replace('application/grpc', 'text/plain')}\r\n5\r\nhello\r\n`)
  await eventually(() => service.streams.length === 1)
  await clock.pass(62_000)
  t.match(await gate.end(), { reason: 'request_timeout', side: 'client' })
})
