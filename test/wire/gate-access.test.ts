import { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { parseAnswer } from '../support/http.ts'
import { get, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { outcomeOf } from '../support/outcome.ts'

const RESET = { kind: 'reset', code: 'ECONNRESET' }

test('a tcp client that is denied gets RST, and its neighbour is served', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connections: 1 }, access: { deny: [127.0.0.2] }`,
  ])
  for (let nth = 0; nth < 3; nth++) t.same(await outcomeOf(t, gate.port, { from: '127.0.0.2' }), RESET)
  const neighbour = await connect(t, gate.port, { from: '127.0.0.3' })
  void neighbour.write('x')
  t.equal((await neighbour.read(1)).toString(), 'x', 'no place was kept by those that were denied')
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', {
      listener: 'l0',
      reason: 'denied',
    }),
    3,
  )
  t.equal(upstream.connections.length, 1)
})

test('where access.allow names anybody, nobody else may connect, and access.deny wins', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", access: { allow: [127.0.0.0/30, "::1"], deny: [127.0.0.2] }`,
  ])
  for (const [from, isServed] of [
    ['127.0.0.1', true],
    ['127.0.0.2', false],
    ['127.0.0.3', true],
    ['127.0.0.4', false],
  ] as const) {
    if (!isServed) t.same(await outcomeOf(t, gate.port, { from }), RESET, from)
    else {
      const client = await connect(t, gate.port, { from })
      void client.write('x')
      t.equal((await client.read(1)).toString(), 'x', from)
    }
  }
})

test('an HTTP client that is denied gets a whole 403', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", access: { deny: [127.0.0.2] }`,
  ])
  const client = await connect(t, gate.port, { from: '127.0.0.2' })
  void client.write(get())
  const answer = parseAnswer(await within(client.received))
  t.equal(answer.status, 403)
  t.equal(answer.body.toString(), 'denied: access.deny\n')
  t.equal(answer.header('retry-after'), null)
  t.ok(answer.isWhole)
  t.equal(upstream.requests.length, 0)
})
