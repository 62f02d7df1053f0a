import { test } from 'tap'
import type { Test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { watchLeaks } from '../support/leaks.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { connect, echo, listen, mute } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

const KIB = 1024
/** Far more than any test waits. */
const LONG = '10m'

for (const policy of ['wait', 'close', 'dropOldest', 'dropNewest']) {
  test(`a new deadlines.close holds for a pair that is open under slowConsumer: ${policy}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, (said) => said.accept())
    const listener = (close: string): string =>
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: ${close}, write: ${LONG} }, websocket: { mode: messages, slowConsumer: { policy: ${policy}, queue: 64MiB }, ping: { interval: off } }`
    const gate = await startGate(t, [listener(LONG)])
    const client = await rawClient(t, gate.port)
    const said = await eventually(() => upstream.conversations[0])
    client.wire.socket.pause()
    const message = encodeFrame({ opcode: 'binary', payload: Buffer.alloc(512 * KIB) })
    void said.send(Buffer.concat(Array.from({ length: 32 }, () => message)))
    const { owner } = gate.open()
    await eventually(() => owner!.queued('client') > 0)
    await gate.reload([listener('300ms')])
    owner!.close(makeClose('upstream_unhealthy', 'upstream', 'relay'))
    t.match(await gate.end(), { reason: 'upstream_unhealthy' })
    client.wire.socket.resume()
    await within(client.wire.closed)
  })
}

test('a new deadlines.close holds for a tcp pair that is open', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => void wire.flood())
  const listener = (close: string): string =>
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: ${close}, write: ${LONG} }`
  const gate = await startGate(t, [listener(LONG)])
  const client = await connect(t, gate.port, { unread: true })
  const connection = await eventually(() => [...gate.registry][0])
  await heldBack(connection, 'to_client')
  await gate.reload([listener('300ms')])
  connection.owner!.close(makeClose('upstream_unhealthy', 'upstream', 'relay'))
  t.match(await gate.end(), { reason: 'upstream_unhealthy' })
  client.socket.destroy()
})

async function newcomers(t: Test, count: number, limits: string, handshake: string) {
  const upstream = await echo(t)
  const clock = stillClock()
  const listener = (ms: string): string =>
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { newConnections: { ${limits} } }, deadlines: { handshake: ${ms} }`
  const gate = await startGate(t, [listener(handshake)], { clock })
  const clients = await Promise.all(Array.from({ length: count }, () => connect(t, gate.port)))
  const delayed = { listener: 'l0', limit: 'newConnections', action: 'delay' }
  await eventually(
    async () => readSamples(await gate.metrics()).get('sidegate_rate_limited_total', delayed) === count - 1,
  )
  // Time passes only while the test runs: on a slow machine no client waits too long.
  const pace = setInterval(() => clock.pass(10), 10)
  t.teardown(() => clearInterval(pace))
  return { clients, reload: (ms: string) => gate.reload([listener(ms)]) }
}

test('a shorter deadlines.handshake refuses those that wait under newConnections already', async (t) => {
  watchLeaks(t)
  // The rate lets one in each second: of sixty the last would wait a minute.
  const { clients, reload } = await newcomers(t, 60, 'rate: 1, burst: 1', LONG)
  await reload('100ms')
  const ends = await Promise.all(
    clients.slice(30).map(async (client) => (await within(client.closed, { withinMs: 30_000 })).code),
  )
  t.same(new Set(ends), new Set(['ECONNRESET']))
  for (const client of clients) client.socket.destroy()
})

test('a longer deadlines.handshake spares those that wait under newConnections already', async (t) => {
  watchLeaks(t)
  const { clients, reload } = await newcomers(t, 9, 'rate: 4, burst: 1', '1s')
  await reload(LONG)
  await Promise.all(
    clients.map(async (client) => {
      void client.write('?')
      await client.read(1, { withinMs: 30_000 })
    }),
  )
  for (const client of clients) client.end()
})

const waiting = {
  'the rest of the first head of a connection': {
    says: 'GET / HTTP/1.1\r\nHost',
    status: 'HTTP/1.1 408',
    end: { reason: 'handshake_timeout', side: 'client' },
  },
  'the answer to an upgrade': {
    says: upgradeRequest(),
    status: 'HTTP/1.1 504',
    end: { reason: 'response_timeout', side: 'upstream' },
  },
  'the answer to a request': {
    says: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
    status: 'HTTP/1.1 504',
    end: { reason: 'response_timeout', side: 'upstream' },
  },
  'a client to take leave after its 400': {
    says: upgradeRequest({ version: '12' }),
    status: 'HTTP/1.1 4',
    end: { reason: 'protocol_error', side: 'client' },
  },
}

for (const [what, { says, status, end }] of Object.entries(waiting))
  test(`shorter deadlines hold for a connection that waits already for ${what}`, async (t) => {
    watchLeaks(t)
    const upstream = await mute(t)
    const listener = (ms: string): string =>
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { handshake: ${ms}, response: ${ms}, close: ${ms} }`
    const gate = await startGate(t, [listener(LONG)])
    const client = await connect(t, gate.port, { halfOpen: true })
    await client.write(says)
    await eventually(() => gate.open().toUpstream.received >= says.length)
    if (says !== waiting['the rest of the first head of a connection'].says)
      await eventually(() => gate.open().toUpstream.sent > 0 || gate.open().end !== null)
    await gate.reload([listener('200ms')])
    t.match((await client.readUntil(status)).toString(), status)
    t.match(await gate.end(), end)
    client.destroy()
  })

for (const what of ['the answer to an upgrade', 'the answer to a request'] as const)
  for (const [before, after, reason] of [
    ['response: off', 'response: 200ms', 'response_timeout'],
    [`response: ${LONG}`, 'response: off, idle: 200ms', 'idle_timeout'],
  ] as const)
    test(`${before} that becomes ${after} holds for a connection that waits already for ${what}`, async (t) => {
      watchLeaks(t)
      const upstream = await mute(t)
      const listener = (deadlines: string): string =>
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { ${deadlines}, close: 200ms }`
      const gate = await startGate(t, [listener(before)])
      const client = await connect(t, gate.port, { halfOpen: true })
      await client.write(waiting[what].says)
      await eventually(() => gate.open().toUpstream.sent > 0)
      await gate.reload([listener(after)])
      t.match((await client.readUntil('HTTP/1.1 504')).toString(), 'HTTP/1.1 504')
      t.match(await gate.end(), { reason, side: 'upstream' })
      client.destroy()
    })

test('a shorter deadlines.close holds for a service that is being heard out', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const listener = (ms: string): string =>
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: ${ms} }`
  const gate = await startGate(t, [listener(LONG)])
  const client = await rawClient(t, gate.port)
  await client.sendFrame({ opcode: 'text', payload: 'without a mask', mask: false })
  t.match(await upstream.conversations[0]!.nextFrame(), { opcode: 'close', code: 1001 })
  await gate.reload([listener('200ms')])
  t.match(await client.nextFrame(), { opcode: 'close', code: 1002 })
  t.match(await gate.end(), { reason: 'protocol_error', side: 'client' })
})
