import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import type { Wire } from '../support/wire.ts'

const tcpGate = async (t: Test, limits: string, rest = '') => {
  const upstream = await echo(t)
  const clock = stillClock()
  return {
    clock,
    ...(await startGate(
      t,
      [
        `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { newConnections: { ${limits} } }${rest}`,
      ],
      { clock },
    )),
  }
}

async function ask(wire: Wire): Promise<void> {
  void wire.write('?')
  await wire.read(1)
}

/** Within one process the RST may come before the socket has reported that it is connected. */
const outcome = (t: Test, port: number): Promise<string | null> =>
  connect(t, port).then(
    async (wire) => (await within(wire.closed)).code,
    (error: NodeJS.ErrnoException) => error.code ?? null,
  )

test('new connections beyond the rate wait, unread, are served at the rate in their order, and lose nothing', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { newConnections: { rate: 10, burst: 5 } }`,
  ])
  const start = performance.now()
  const clients = await Promise.all(Array.from({ length: 12 }, () => connect(t, gate.port)))
  const served: number[] = []
  await Promise.all(
    clients.map(async (client, nth) => {
      void client.write(`hello ${nth}`)
      t.equal((await client.readUntil(`${nth}`)).toString(), `hello ${nth}`)
      served.push(performance.now() - start)
    }),
  )
  t.ok(served[11]! >= 695, `the last after ${served[11]!.toFixed(0)} ms`)
})

test('who waits holds a place under limits.connections, and gives it back when it leaves', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connections: 2, newConnections: { rate: 4, burst: 1 } }`,
  ])
  const first = await connect(t, gate.port)
  await ask(first)
  const waiting = await connect(t, gate.port)
  t.equal(await outcome(t, gate.port), 'ECONNRESET', 'too many')
  waiting.end()
  await gate.end()
  await ask(await connect(t, gate.port))
})

test('who waits longer than deadlines.handshake is refused with rate_limited', async (t) => {
  watchLeaks(t)
  const clock = stillClock()
  const upstream = await echo(t)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connections: 2, newConnections: { rate: 1, burst: 1 } }, deadlines: { handshake: 200ms }`,
    ],
    { clock },
  )
  const delayed = async (): Promise<number | undefined> =>
    readSamples(await gate.metrics()).get('sidegate_rate_limited_total', {
      listener: 'l0',
      limit: 'newConnections',
      action: 'delay',
    })
  await ask(await connect(t, gate.port))
  for (const nth of [1, 2]) {
    const waiting = await connect(t, gate.port)
    await eventually(async () => (await delayed()) === nth)
    clock.pass(199)
    await new Promise((resolve) => setTimeout(resolve, 60))
    t.equal(waiting.outcome, null, 'a millisecond before')
    clock.pass(1)
    t.match(await within(waiting.closed), { code: 'ECONNRESET' })
    const samples = readSamples(await gate.metrics())
    t.equal(
      samples.get('sidegate_connections_rejected_total', { listener: 'l0', reason: 'rate_limited' }),
      nth,
    )
    t.equal(
      samples.get('sidegate_connections_rejected_total', { listener: 'l0', reason: 'too_many' }),
      0,
      'its place is free again',
    )
  }
})

test('those that wait when the gate stops accepting are refused, and the drain does not wait for them', async (t) => {
  watchLeaks(t)
  const gate = await tcpGate(t, 'rate: 1, burst: 1')
  const first = await connect(t, gate.port)
  await ask(first)
  const waiting = await connect(t, gate.port)
  await eventually(
    async () =>
      readSamples(await gate.metrics()).get('sidegate_rate_limited_total', { limit: 'newConnections' }) === 1,
  )
  void gate.drain(5000)
  t.match(await within(waiting.closed), { code: 'ECONNRESET' })
})

test('where the action is close, a tcp client beyond the rate gets RST, an HTTP client a 429 with Retry-After of its own', async (t) => {
  watchLeaks(t)
  const gate = await tcpGate(t, 'rate: 1, burst: 2, onExceed: close')
  const clients = [await connect(t, gate.port), await connect(t, gate.port)]
  for (const client of clients) await ask(client)
  t.equal(await outcome(t, gate.port), 'ECONNRESET')
  await ask(clients[0]!)
  const upstream = await recordingUpstream(t)
  const http = await startGate(
    t,
    [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { newConnections: { rate: 1, burst: 1, onExceed: close } }`,
    ],
    { clock: stillClock() },
  )
  const inside = await httpClient(t, http.port)
  t.equal((await inside.get(get('/'))).status, 200)
  const told = new Set<string | null>()
  for (let i = 0; i < 20; i++) {
    const answer = parseAnswer((await requestRaw(t, http.port, get('/'))).bytes)
    t.equal(answer.status, 429)
    t.match(answer.body.toString(), /^rate_limited/)
    t.match(answer.header('retry-after'), /^[1-5]$/)
    told.add(answer.header('retry-after'))
  }
  t.ok(told.size > 1, 'not all are told the same')
  t.equal((await inside.get(get('/'))).status, 200, 'who is in stays in')
  const samples = readSamples(await http.metrics())
  t.equal(samples.get('sidegate_connections_rejected_total', { listener: 'l0', reason: 'rate_limited' }), 20)
  t.equal(
    samples.get('sidegate_rate_limited_total', { listener: 'l0', limit: 'newConnections', action: 'close' }),
    20,
  )
})

test('a rate that is observed lets everybody in and counts', async (t) => {
  watchLeaks(t)
  const gate = await tcpGate(t, 'rate: 1, burst: 2, mode: observe, onExceed: close')
  for (let i = 0; i < 5; i++) await ask(await connect(t, gate.port))
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_observed_total', {
      listener: 'l0',
      limit: 'newConnections',
    }),
    3,
  )
})
