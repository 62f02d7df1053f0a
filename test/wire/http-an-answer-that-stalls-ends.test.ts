import { test } from 'tap'
import type { Test } from 'tap'
import { authority } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { get, HttpClient, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import type { StillClock } from '../support/still-clock.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import type { Wire } from '../support/wire.ts'

const head = (headers = ''): string => `HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n${headers}\r\n0123456789`

interface Stalled {
  gate: Gate
  client: HttpClient
  service: Wire
  clock: StillClock
  /** The listener, with further keys. */
  listener: (keys: string) => string
  open: () => Promise<Wire>
}

/** An answer of which a part has come to the client. */
async function stall(
  t: Test,
  { request = get(), answer = head(), keys = '', isSecure = false },
): Promise<Stalled> {
  watchLeaks(t)
  watchCrashes(t)
  const clock = stillClock()
  const wires: Wire[] = []
  const upstream = await listen(t, async (wire) => {
    wires.push(wire)
    void wire.ended.then(() => wire.end())
    await wire.readUntil('\r\n\r\n')
    await wire.write(answer)
  })
  const ca = authority(t)
  const { cert, key } = ca.issue('server')
  const listener = (more: string): string =>
    `protocol: http, upstream: "127.0.0.1:${upstream.port}"${more}${isSecure ? `, tls: { cert: "${cert}", key: "${key}" }` : ''}`
  const gate = await startGate(t, [listener(keys)], { clock })
  const open = (): Promise<Wire> =>
    isSecure ? tlsConnect(t, gate.port, { ca: ca.cert }) : connect(t, gate.port)
  const client = new HttpClient(await open())
  await client.send(request)
  await client.wire.readUntil('0123456789')
  const stalled = { gate, client, service: wires[0]!, clock, listener, open }
  await pass(t, stalled, 0, 10_000)
  return stalled
}

/** Lets time pass, 10 s at least; resolves after a sweep, which has ended a client in its handshake, the `nth` end. */
async function pass(t: Test, { gate, clock, open }: Stalled, nth: number, ms: number): Promise<void> {
  const size = gate.registry.size
  const wire = await open()
  await eventually(() => gate.registry.size === size + 1)
  clock.pass(ms)
  await wire.ended
  wire.end()
  t.match(await gate.end(nth), { reason: 'handshake_timeout' })
}

for (const isSecure of [false, true]) {
  test(`an answer that stalls in its body ends after 60 s by default (idle_timeout), visibly cut${isSecure ? ', over TLS too' : ''}; one that goes on lives`, async (t) => {
    const stalled = await stall(t, { isSecure })
    await livesByGoingOn(t, stalled)
  })
}

test('an answer that declines an upgrade and stalls in its body ends the same way', async (t) => {
  await livesByGoingOn(t, await stall(t, { request: upgradeRequest() }))
})

async function livesByGoingOn(t: Test, stalled: Stalled): Promise<void> {
  const { gate, client, service, clock } = stalled
  await pass(t, stalled, 1, 49_000)
  await service.write('more')
  await client.wire.readUntil('more')
  // It is noticed at the next look, before the time that passes now or behind it.
  await pass(t, stalled, 2, 20_000)
  t.same([client.wire.outcome, client.wire.hasEnded], [null, false], 'a byte re-arms it')
  clock.pass(60_000)
  await client.wire.ended
  client.wire.end()
  t.match(await gate.end(3), {
    reason: 'idle_timeout',
    side: 'upstream',
    phase: 'relay',
    detail: /deadlines\.upstreamIdle/,
  })
}

test('an answer of minutes of silence lives where it is an event stream, or where the deadline is off or longer', async (t) => {
  const innocents = [
    { answer: head('Content-Type: Text/Event-Stream\r\n') },
    { keys: ', deadlines: { upstreamIdle: off }' },
    { keys: ', deadlines: { upstreamIdle: 10m }' },
  ]
  for (const options of innocents) {
    const stalled = await stall(t, options)
    await pass(t, stalled, 1, 120_000)
    await stalled.service.write('more')
    t.equal((await stalled.client.wire.readUntil('more')).length, 4)
    stalled.client.wire.reset()
    await stalled.gate.end(2)
  }
})

test('a request that goes on for minutes beside an answer that has begun is not cut', async (t) => {
  const stalled = await stall(t, { request: `${get('/', 'Content-Length: 100\r\n', 'POST')}x` })
  const { client, service, gate } = stalled
  for (let i = 1; i <= 3; i++) {
    const { received } = [...gate.registry][0]!.toUpstream
    await client.send('x')
    await eventually(() => [...gate.registry][0]!.toUpstream.received > received || service.unread > i, {
      what: 'a byte',
    })
    await pass(t, stalled, i, 40_000)
  }
  await service.write('more')
  t.equal((await client.wire.readUntil('more')).length, 4)
})

test('a written upstreamIdle is for event streams too', async (t) => {
  const { gate, clock, client } = await stall(t, {
    answer: head('Content-Type: text/event-stream\r\n'),
    keys: ', deadlines: { upstreamIdle: 20s }',
  })
  clock.pass(21_000)
  await client.wire.ended
  t.match(await gate.end(1), { reason: 'idle_timeout', side: 'upstream', detail: /deadlines\.upstreamIdle/ })
})

test('a reload gives answers that are under way another deadline', async (t) => {
  const stalled = await stall(t, {})
  const { gate, clock, client, listener } = stalled
  t.match(await gate.reload([listener(', deadlines: { upstreamIdle: 10m }')]), { result: 'success' })
  await pass(t, stalled, 1, 100_000)
  t.equal(client.wire.outcome, null)
  t.match(await gate.reload([listener(', deadlines: { upstreamIdle: 90s }')]), { result: 'success' })
  clock.pass(1000)
  t.match(await gate.end(2), { reason: 'idle_timeout', side: 'upstream' })
})
