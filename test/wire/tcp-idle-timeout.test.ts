import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, mute, neverCloses, sink, trickler } from '../support/peers.ts'

const FIN = { kind: 'fin', code: null }
/** Long enough for five of the deadlines below. */
const LONG_MS = 1000

test('a pair without data either way is ended with idle_timeout, by FIN on both sides', async (t) => {
  watchLeaks(t)
  const upstream = await sink(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 200ms }`,
  ])
  const client = await connect(t, gate.port)
  const { reason, side, phase, line } = await gate.end()
  t.same({ reason, side, phase }, { reason: 'idle_timeout', side: 'sidegate', phase: 'relay' })
  t.ok((line['durationMs'] as number) >= 190, `${String(line['durationMs'])} ms`)
  t.same(await within(Promise.all([client.closed, (await upstream.connection()).closed])), [FIN, FIN])
})

test('data in one direction alone keeps a pair from idle_timeout, whichever it is', async (t) => {
  watchLeaks(t)
  const pushing = await trickler(t, 10, 20)
  const listening = await sink(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${pushing.port}", deadlines: { idle: 200ms }`,
    `protocol: tcp, upstream: "127.0.0.1:${listening.port}", deadlines: { idle: 200ms }`,
  ])
  const [hearer, speaker] = [await connect(t, gate.ports[0]!), await connect(t, gate.ports[1]!)]
  const timer = setInterval(() => void speaker.write('!'), 20)
  t.teardown(() => clearInterval(timer))
  await new Promise((resolve) => setTimeout(resolve, LONG_MS))
  t.same(gate.lines, [])
  clearInterval(timer)
  hearer.end()
  speaker.end()
  t.match([await gate.end(0), await gate.end(1)], [{ reason: 'eof' }, { reason: 'eof' }])
})

test('a client that says nothing while the upstream talks is ended by clientIdle', async (t) => {
  watchLeaks(t)
  const upstream = await trickler(t, 10, 20)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { clientIdle: 200ms }`,
  ])
  const client = await connect(t, gate.port)
  t.match(await gate.end(), {
    reason: 'idle_timeout',
    side: 'client',
    detail: /^no data for [\d.]+s \(deadlines\.clientIdle\)$/,
  })
  t.same(await within(client.closed), FIN)
})

test('an upstream that says nothing while the client talks is ended by upstreamIdle', async (t) => {
  watchLeaks(t)
  const upstream = await sink(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { upstreamIdle: 200ms }`,
  ])
  const client = await connect(t, gate.port)
  const timer = setInterval(() => void client.write('!'), 20)
  t.teardown(() => clearInterval(timer))
  t.match(await gate.end(), {
    reason: 'idle_timeout',
    side: 'upstream',
    detail: /^no data for [\d.]+s \(deadlines\.upstreamIdle\)$/,
  })
  t.same(await within(client.closed), FIN)
})

test('a client that talks is not ended by clientIdle, nor an upstream that talks by upstreamIdle', async (t) => {
  watchLeaks(t)
  const upstream = await trickler(t, 10, 20)
  const quiet = await sink(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { upstreamIdle: 200ms }`,
    `protocol: tcp, upstream: "127.0.0.1:${quiet.port}", deadlines: { clientIdle: 200ms }`,
  ])
  const [hearer, speaker] = [await connect(t, gate.ports[0]!), await connect(t, gate.ports[1]!)]
  const timer = setInterval(() => void speaker.write('!'), 20)
  t.teardown(() => clearInterval(timer))
  await new Promise((resolve) => setTimeout(resolve, LONG_MS))
  t.same(gate.lines, [])
  clearInterval(timer)
  hearer.end()
  speaker.end()
  await gate.end(1)
})

test('a client that we do not read, since the upstream takes nothing, is not ended by clientIdle', async (t) => {
  watchLeaks(t)
  const upstream = await mute(t, { into: { write: () => {} } })
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { clientIdle: 200ms }`,
  ])
  const client = await connect(t, gate.port)
  void client.flood()
  await client.stalled()
  await new Promise((resolve) => setTimeout(resolve, LONG_MS))
  t.same(gate.lines, [])
  client.reset()
  ;(await upstream.connection()).resumeReading()
  t.match(await gate.end(), { reason: 'reset', side: 'client' })
})

test('a pair that ended with idle_timeout but whose peers stay is reset after deadlines.close', async (t) => {
  watchLeaks(t)
  const upstream = await neverCloses(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 100ms, close: 200ms }`,
  ])
  const client = await connect(t, gate.port, { halfOpen: true })
  await within(client.ended)
  t.match(await gate.end(), { reason: 'idle_timeout', side: 'sidegate' })
  await eventually(() => client.outcome !== null || (void client.write('?'), false))
  t.match(client.outcome, { kind: 'reset' })
})

test('what is asked of a pair that is ending already does not change why it ended', async (t) => {
  watchLeaks(t)
  const upstream = await neverCloses(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 100ms, close: 300ms }`,
  ])
  const client = await connect(t, gate.port, { halfOpen: true })
  await within(client.ended)
  gate.operator.reset('killed')
  t.match(await gate.end(), { reason: 'idle_timeout', side: 'sidegate' })
})
