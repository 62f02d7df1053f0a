import { test } from 'tap'
import { isSettled, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { parseAnswer } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'
import type { Wire } from '../support/wire.ts'

/** Sends `text` byte by byte, one every `everyMs`, until the connection closes. */
async function trickle(wire: Wire, text: string, everyMs: number): Promise<void> {
  for (const byte of text) {
    if (wire.outcome !== null || wire.hasEnded) return
    void wire.write(byte)
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

test('a head that comes byte by byte is ended with handshake_timeout, counted from the start', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { handshake: 300ms, close: 500ms }`,
  ])
  const watch = stopwatch(t)
  const client = await connect(t, gate.port)
  const sending = trickle(client, upgradeRequest({ headers: { 'X-Long': 'x'.repeat(1000) } }), 10)
  await within(client.ended)
  t.ok(watch.ms >= 300 && watch.livedMs < 2000, `${watch.livedMs} of ${watch.ms} ms`)
  const answer = parseAnswer(await client.received)
  t.equal(answer.status, 408)
  t.match(answer.body.toString(), /^handshake_timeout/)
  t.match(await gate.end(), { reason: 'handshake_timeout', side: 'client', phase: 'handshake' })
  await sending
  t.equal(upstream.connections.length, 0)
})

test('a client that says nothing is ended by deadlines.handshake', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { handshake: 100ms, close: 500ms }`,
  ])
  const client = await connect(t, gate.port)
  await within(client.closed)
  t.match(await gate.end(), { reason: 'handshake_timeout', side: 'client' })
})

test('a slow head that is done within deadlines.handshake is served, and the deadline ends with it', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await new Promise((resolve) => setTimeout(resolve, 600))
    await said.accept()
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { handshake: 2s, close: 500ms }`,
  ])
  const client = await connect(t, gate.port)
  const request = upgradeRequest()
  void client.write(request.slice(0, 60))
  await new Promise((resolve) => setTimeout(resolve, 300))
  void client.write(request.slice(60, -1))
  await new Promise((resolve) => setTimeout(resolve, 100))
  void client.write(request.slice(-1))
  t.match((await client.readUntil('\r\n\r\n')).toString(), /^HTTP\/1\.1 101 /)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  t.equal(await isSettled(client.closed), false)
})

test('a head over http.maxHeader is 431, before it ends', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { maxHeader: 4KiB }, deadlines: { close: 500ms }`,
  ])
  const client = await connect(t, gate.port)
  void client.write(`${upgradeRequest().slice(0, -2)}X-Long: ${'x'.repeat(5000)}`)
  await within(client.closed)
  const answer = parseAnswer(await client.received)
  t.equal(answer.status, 431)
  t.match(answer.body.toString(), /http\.maxHeader/)
  t.match(await gate.end(), { reason: 'message_too_big', side: 'client', phase: 'handshake' })
  t.equal(upstream.connections.length, 0)
})

test('a head just below http.maxHeader is served', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { maxHeader: 4KiB }, deadlines: { close: 500ms }`,
  ])
  await rawClient(t, gate.port, { headers: { 'X-Long': 'x'.repeat(3800) } })
  t.equal(upstream.conversations[0]!.head.header('x-long')?.length, 3800)
})

test('a client that connects and leaves without a word is no incident', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  ;(await connect(t, gate.port)).end()
  t.match(await gate.end(), { reason: 'eof', side: 'client', phase: 'handshake' })
})

test('a client that leaves inside its head is aborted', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  ;(await connect(t, gate.port)).end(upgradeRequest().slice(0, 50))
  t.match(await gate.end(), { reason: 'aborted', side: 'client', phase: 'handshake' })
})
