// The two counts of the service level, on every transport: faults of the service or the gate are bad, ends by
// the client or an operator are not.

import root from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { get, httpClient } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, mute, refuser } from '../support/peers.ts'
import { forEachTransport, isHttp, isWebSocket, openLine, transports } from '../support/transports.ts'
import type { Line, Transport } from '../support/transports.ts'
import { scriptedUpstream } from '../support/websocket.ts'
import { readSamples } from '../metrics/samples.ts'

const counts = async (gate: Gate, protocol: string): Promise<[good: number, bad: number]> => {
  const samples = readSamples(await gate.metrics())
  const of = (outcome: string): number =>
    samples.get('sidegate_outcomes_total', { listener: 'l0', protocol, outcome }) ?? -1
  return [of('good'), of('bad')]
}
const protocolOf = (transport: Transport): string =>
  isHttp(transport) ? 'http' : isWebSocket(transport) ? 'websocket' : 'tcp'

/** The outcome of one conversation after `act`. */
async function outcome(t: Test, transport: Transport, act: (line: Line) => unknown): Promise<number[]> {
  const line = await openLine(t, transport, 'deadlines: { close: 500ms }')
  await act(line)
  await line.gate.end()
  return counts(line.gate, protocolOf(transport))
}

root.test('an orderly end is good', async (t) => {
  await forEachTransport(t, transports, async (t, transport) => {
    const line = await openLine(t, transport, 'deadlines: { close: 300ms }')
    line.client.finish()
    await eventually(() => line.service.isWhole, { what: 'the end at the service' })
    line.service.finish()
    await eventually(() => line.client.isWhole, { what: 'the end at the client' })
    line.client.wire.end()
    await line.gate.end()
    t.same(await counts(line.gate, protocolOf(transport)), [1, 0])
  })
})

root.test('a service that crashes in the middle is bad, a client that does is not', async (t) => {
  await forEachTransport(t, transports, async (t, transport) => {
    t.same(await outcome(t, transport, ({ service }) => service.reset()), [0, 1], 'the service')
    t.same(await outcome(t, transport, ({ client }) => client.reset()), [1, 0], 'the client')
  })
})

root.test('what an operator ends is not held against the service', async (t) => {
  await forEachTransport(t, transports, async (t, transport) => {
    const ended = await outcome(t, transport, ({ gate }) => gate.drain(200))
    t.same(ended, [1, 0])
  })
})

/** Clients of both kinds and the outcome of each, for a service that never gets to serve. */
async function refusedBy(t: Test, upstream: string): Promise<Record<string, number[]>> {
  const gate = await startGate(t, [
    `protocol: http, upstream: ${upstream}, deadlines: { response: 100ms, close: 300ms }`,
  ])
  const plain = await httpClient(t, gate.port)
  await plain.get(get())
  plain.wire.end()
  const upgrading = await connect(t, gate.port)
  await upgrading.write(upgradeRequest())
  await gate.end(1)
  return { http: await counts(gate, 'http'), websocket: await counts(gate, 'websocket') }
}

root.test(
  'a service that is not there, or hangs, is bad, once for each request and each upgrade',
  async (t) => {
    watchLeaks(t)
    const gone = refuser(t)
    const hanging = await mute(t)
    const bad = { http: [0, 1], websocket: [0, 1] }
    t.same(await refusedBy(t, `{ addresses: ["127.0.0.1:${gone.port}"], retryFor: off }`), bad)
    t.same(await refusedBy(t, `"127.0.0.1:${hanging.port}"`), bad)
  },
)

root.test('a tcp service that is not there is bad', async (t) => {
  watchLeaks(t)
  const gone = refuser(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${gone.port}"], retryFor: off }`,
  ])
  await connect(t, gate.port)
  await gate.end()
  t.same(await counts(gate, 'tcp'), [0, 1])
})

root.test("a service's own 5xx is bad, its 4xx is not, to a request as to an upgrade", async (t) => {
  watchLeaks(t)
  for (const [status, expected] of [
    [503, [0, 1]],
    [404, [1, 0]],
  ] as const) {
    const upstream = await scriptedUpstream(t, (said) =>
      said.send(`HTTP/1.1 ${status} So\r\nContent-Length: 0\r\n\r\n`),
    )
    const said = await refusedBy(t, `"127.0.0.1:${upstream.port}"`)
    t.same(said, { http: expected, websocket: expected }, String(status))
  }
})

root.test(
  'what a client did wrong is not held against the service: a bad request, a bad frame',
  async (t) => {
    watchLeaks(t)
    const line = await openLine(t, 'websocket', 'deadlines: { close: 300ms }')
    // Not masked.
    await line.client.wire.write(Buffer.from([0x82, 0x01, 0x00]))
    await line.gate.end()
    t.same(await counts(line.gate, 'websocket'), [1, 0])
    const bad = await httpClient(t, line.gate.port)
    await bad.get(get('/', 'Content-Length: 1\r\nConnection: Host\r\n'))
    bad.wire.end()
    await line.gate.end(1)
    t.same(await counts(line.gate, 'http'), [1, 0])
  },
)
