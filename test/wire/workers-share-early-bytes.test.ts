// What comes with the heads of requests before their upstream is there is bounded for three workers together,
// whichever way the client comes: in the clear, over TLS, behind a PROXY header.

import { test } from 'tap'
import { someServer } from '../support/certificates.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { readSamples } from '../metrics/samples.ts'

const WORKERS = 3
const CLIENTS = 120
const KIB = 1024
/** memory.buffered, and the part of it that is for bytes that wait for their upstream. */
const ALL = 4 * 1024 * KIB
const MOST = (ALL * 3) / 4
const LONG = { withinMs: 60_000 }

const server = someServer()
const tls = `, tls: { cert: "${server.cert}", key: "${server.key}" }`
const proxy = ', proxyProtocol: { accept: v1, trusted: ["127.0.0.1"] }'
const HEADER = 'PROXY TCP4 203.0.113.7 127.0.0.1 1000 80\r\n'

const buffered = async (gate: Gate): Promise<number> =>
  readSamples(await gate.metrics()).sum('sidegate_buffered_bytes', {})

for (const [way, keys] of [
  ['in the clear', ''],
  ['over TLS', tls],
  ['behind a PROXY header', proxy],
  ['behind a PROXY header, over TLS', proxy + tls],
] as const)
  test(`requests that wait for their upstream hold three quarters of memory.buffered in 3 workers, ${way}`, async (t) => {
    watchLeaks(t, LONG)
    const nobody = await backlogFull(t)
    const gate = await startGate(
      t,
      [`protocol: http, upstream: "127.0.0.1:${nobody.port}", deadlines: { connect: 5m }${keys}`],
      { workers: WORKERS },
      'memory: { buffered: 4MiB }',
    )
    const head = keys.includes('proxyProtocol') ? HEADER : ''
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        if (keys.includes('tls')) return tlsConnect(t, gate.port, { ca: server.ca, head })
        const wire = await connect(t, gate.port)
        if (head !== '') await wire.write(head)
        return wire
      }),
    )
    const body = Buffer.concat([
      Buffer.from(get('/', `Content-Length: ${60 * KIB}\r\n`, 'POST')),
      Buffer.alloc(60 * KIB),
    ])
    for (const client of clients) void client.write(body)
    // While bytes come and go, a sum has figures of workers of different moments in it.
    let moving = 0
    await eventually(async () => {
      moving = Math.max(moving, await buffered(gate))
      return gate.lines.length > 0 || gate.operator.open === CLIENTS
    }, LONG)
    t.ok(moving <= ALL, `${Math.round(moving / KIB)} KiB at the most`)
    let most = Number.POSITIVE_INFINITY
    await eventually(async () => {
      const before = most
      most = await buffered(gate)
      return most === before && most > ALL / 2
    }, LONG)
    t.ok(most <= MOST + (WORKERS - 1) * 64 * KIB, `${Math.round(most / KIB)} KiB at rest`)
    t.same(
      [...new Set(gate.lines.map(({ close }) => close))].filter((close) => close !== 'overloaded'),
      [],
    )
    // Some may still be on their way through their gates.
    await eventually(async () => {
      await gate.operator.reset('killed')
      return gate.operator.open === 0
    }, LONG)
    t.equal(await buffered(gate), 0, 'nothing is held for nobody')
  })
