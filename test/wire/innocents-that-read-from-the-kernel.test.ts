// A reader of bytes that the gate has sent, all of them, and that the kernel still holds: it is not idle while
// it takes some, on every transport, and is once it stops.

import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { someServer } from '../support/certificates.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import * as h2 from '../support/h2-frames.ts'
import { websocketHead } from '../support/h2-wire.ts'
import { endOf, innocents, LONG, quietFor } from '../support/innocents.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { slowReader, slowTls } from '../support/processes.ts'
import { forEachTransport, isHttp, isWebSocket, openingBytes, startService } from '../support/transports.ts'
import type { Transport } from '../support/transports.ts'

/** Less than the kernel holds for a reader that reads nothing. */
const MUCH = 1_000_000
/** A peer is looked at closer for the last quarter of it, which a few reads of the slowest reader here fit into. */
const IDLE_MS = 3000
const idle = `deadlines: { idle: ${IDLE_MS}ms, response: off, request: off, close: 500ms }`

/** Nothing more comes, and the reader lives for longer than the pair may be idle; then it `stops`. */
async function livesUntil(
  t: Test,
  gate: Gate,
  direction: 'toClient' | 'toUpstream',
  stops: () => void,
  reason = 'idle_timeout',
) {
  await eventually(() => gate.open()[direction].received >= MUCH, { ...LONG, what: 'all bytes at the gate' })
  const side = direction === 'toClient' ? 'client' : 'upstream'
  await eventually(() => gate.open().owner!.queued(side) === 0, { ...LONG, what: 'the kernel to have all' })
  await quietFor(2 * IDLE_MS)
  t.same(gate.lines, [])
  t.equal(gate.open().end, null, 'it has not been told to go')
  stops()
  t.match(await endOf(gate), { reason })
}

/** A request on stream 1, with the widest windows; the gate waits for no answer to its SETTINGS. */
function h2Opening(transport: Transport): Buffer {
  const fields = isWebSocket(transport)
    ? Object.entries(websocketHead()).map(([name, value]) => [name, String(value)] as const)
    : h2.request()
  return Buffer.concat([
    h2.PREFACE,
    h2.settings([h2.SETTING.INITIAL_WINDOW_SIZE, 0x7fff_ffff]),
    h2.windowUpdate(0, 0x3fff_ffff),
    h2.headers(1, h2.literals(...fields), h2.END_HEADERS | (isHttp(transport) ? h2.END_STREAM : 0)),
  ])
}

/** A client in the clear, which takes a kilobyte of its kernel at a time. */
async function inTheClear(t: Test, transport: Transport): Promise<void> {
  const { service, isReady, listener } = await startService(t, transport)
  const gate = await startGate(t, [listener(idle)])
  const client = await slowReader(t, gate.port)
  client.send(transport.endsWith('h2') ? h2Opening(transport) : openingBytes(transport))
  await isReady
  client.trickle(1000, 50)
  await service.send(MUCH)
  await livesUntil(t, gate, 'toClient', () => client.trickle(0, 50))
  t.ok(client.bytes < MUCH / 2, `${client.bytes} bytes`)
  client.reset()
}

const server = someServer()

/** A client of TLS, which takes a record of its kernel at a time. */
async function overTls(t: Test, transport: Transport): Promise<void> {
  const { service, isReady, listener } = await startService(t, transport)
  const gate = await startGate(t, [listener(idle)])
  const opening = openingBytes(transport).toString('hex')
  const client = await slowTls(t, 'client', gate.port, [server.ca, opening])
  await isReady
  await service.send(MUCH)
  await livesUntil(t, gate, 'toClient', () => client.stop())
  service.wire.reset()
}

test(`a client that ${innocents.kernelReader.title}`, { timeout: 100_000 }, (t) =>
  forEachTransport(
    t,
    innocents.kernelReader.on,
    (t, transport) => (transport.endsWith('tls') ? overTls : inTheClear)(t, transport),
    innocents.kernelReader.on.length,
  ),
)

test(`a service that ${innocents.kernelReader.title}, over TLS`, { timeout: 100_000 }, async (t) => {
  watchLeaks(t)
  const service = await slowTls(t, 'service', 0, [server.cert, server.key])
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["localhost:${service.port}"], tls: { ca: "${server.ca}" } }, ${idle}`,
  ])
  const client = await connect(t, gate.port)
  await client.write(Buffer.alloc(MUCH))
  await livesUntil(t, gate, 'toUpstream', () => service.stop())
  client.reset()
})

for (const [how, files, tls] of [
  ['in the clear', [], ''],
  ['over TLS', [server.cert, server.key], `, tls: { ca: "${server.ca}" }`],
] as const)
  for (const [key, reason] of [
    ['response', 'response_timeout'],
    ['idle', 'idle_timeout'],
  ] as const)
    test(
      `a service that has yet to take an upload from the kernel is not waited for by deadlines.${key}, ${how}`,
      { timeout: 100_000 },
      async (t) => {
        watchLeaks(t)
        const service = await slowTls(t, 'service', 0, [...files])
        const gate = await startGate(t, [
          `protocol: http, upstream: { addresses: ["localhost:${service.port}"]${tls} }, deadlines: { response: off, ${key}: ${IDLE_MS}ms, close: 500ms }`.replace(
            key === 'response' ? 'response: off, ' : '',
            '',
          ),
        ])
        const client = await connect(t, gate.port)
        await client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${MUCH}\r\n\r\n`)
        await client.write(Buffer.alloc(MUCH))
        await livesUntil(t, gate, 'toUpstream', () => service.stop(), reason)
        client.reset()
      },
    )
