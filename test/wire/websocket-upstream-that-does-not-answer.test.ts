import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { parseAnswer } from '../support/http.ts'
import type { Answer } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, mute, refuser } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'
import type { Test } from 'tap'

async function ask(t: Test, gate: Gate): Promise<{ answer: Answer; ms: number; livedMs: number }> {
  const watch = stopwatch(t)
  const client = await connect(t, gate.port)
  void client.write(upgradeRequest())
  await within(client.ended, { withinMs: 30_000 })
  const { ms, livedMs } = watch
  await within(client.closed)
  const answer = parseAnswer(await client.received)
  t.equal(answer.isWhole, true)
  return { answer, ms, livedMs }
}

test('an upstream that accepts and says nothing is 504 response_timeout, and is let go', async (t) => {
  watchLeaks(t)
  const upstream = await mute(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { response: 200ms, close: 500ms }`,
  ])
  const { answer, ms, livedMs } = await ask(t, gate)
  t.equal(answer.status, 504)
  t.match(answer.body.toString(), /^response_timeout: .*deadlines\.response/)
  t.ok(ms >= 200 && livedMs < 2000, `${livedMs} of ${ms} ms`)
  const wire = await upstream.connection()
  wire.resumeReading()
  t.equal(await within(wire.ended), true)
  wire.end()
  t.match(await gate.end(), { reason: 'response_timeout', side: 'upstream', phase: 'handshake' })
  t.match(await within(wire.closed), { kind: 'fin' })
})

for (const [keys, reason] of [
  ['response: 250ms', 'response_timeout'],
  ['response: off, idle: 250ms', 'idle_timeout'],
] as const)
  test(`an answer that trickles does not extend the wait for it (${keys})`, async (t) => {
    watchLeaks(t)

    let pieces = 0
    const upstream = await scriptedUpstream(t, async (said) => {
      for (; pieces < 7 && said.wire.outcome === null; pieces++) {
        void said.send('H')
        await new Promise((resolve) => setTimeout(resolve, 60))
      }
    })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { ${keys}, close: 500ms }`,
    ])
    const { answer, ms } = await ask(t, gate)
    t.equal(answer.status, 504)
    t.ok(ms >= 250, `${ms} ms`)
    t.ok(pieces < 7, `${pieces} of 7 pieces came before`)
    t.match(await gate.end(), { reason, side: 'upstream', phase: 'handshake' })
  })

test('an answer that is slow but in time is served', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await new Promise((resolve) => setTimeout(resolve, 300))
    await said.accept()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { response: 3s, close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port)
  t.match(client.answer!.line, ' 101 ')
})

test('an answer head over http.maxHeader is a 502', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.send(`HTTP/1.1 101 Yes\r\nX-Long: ${'x'.repeat(5000)}`),
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { maxHeader: 4KiB }, deadlines: { close: 500ms }`,
  ])
  const { answer } = await ask(t, gate)
  t.equal(answer.status, 502)
  t.match(await gate.end(), { reason: 'message_too_big', side: 'upstream', phase: 'handshake' })
})

test('an upstream that refuses is 502 connect_refused, at once', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${refuser(t).port}"], retryFor: off }, deadlines: { close: 500ms }`,
  ])
  const { answer, ms, livedMs } = await ask(t, gate)
  t.equal(answer.status, 502)
  t.match(answer.body.toString(), /^connect_refused/)
  t.ok(livedMs < 2000, `${livedMs} of ${ms} ms`)
  t.match(await gate.end(), {
    reason: 'connect_refused',
    side: 'upstream',
    phase: 'connect',
    detail: 'ECONNREFUSED',
  })
})

test('an upstream that does not accept is 504 connect_timeout', async (t) => {
  watchLeaks(t)
  const upstream = await backlogFull(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 200ms, close: 500ms }`,
  ])
  const { answer, ms, livedMs } = await ask(t, gate)
  t.equal(answer.status, 504)
  t.match(answer.body.toString(), /^connect_timeout/)
  t.ok(ms >= 200 && livedMs < 2000, `${livedMs} of ${ms} ms`)
  t.match(await gate.end(), { reason: 'connect_timeout', side: 'upstream', phase: 'connect' })
})

test('an upstream that resets instead of an answer is a 502', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.wire.reset())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const { answer } = await ask(t, gate)
  t.equal(answer.status, 502)
  t.match(await gate.end(), { reason: 'reset', side: 'upstream', phase: 'handshake' })
})
