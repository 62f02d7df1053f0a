import { test } from 'tap'
import type { RecentEnd } from '../../src/admin/types.ts'
import { ask } from '../admin/admin.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { outcomeOf } from '../support/outcome.ts'
import { forEachTransport, isWebSocket, openingBytes, openLine, transports } from '../support/transports.ts'
import { someServer } from '../support/certificates.ts'
import { tlsConnect } from '../support/tls-peers.ts'

async function recentOf(gate: Gate, query = ''): Promise<RecentEnd[]> {
  const { body } = await ask(gate.adminPort, `/recent${query}`, {}, 'GET')
  return JSON.parse(body) as RecentEnd[]
}

const withHeads = transports.filter((one) => one !== 'tcp' && one !== 'tls' && one !== 'messages')

const events = ({ timeline }: RecentEnd) => timeline.map(({ event }) => event)

test('an orderly end and one of ours are both remembered, with what led to them', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate } = await openLine(t, transport, 'deadlines: { idle: 400ms, upstreamIdle: 400ms }')
    const { id, client } = gate.open()
    await gate.end()
    const [end] = await recentOf(gate)
    t.match(end, { id, client: client.text, reason: 'idle_timeout', listener: 'l0', count: 1 })
    t.ok(end!.bytesToUpstream > 0 && end!.bytesToClient > 0)
    t.equal(events(end!)[0], 'accepted')
    t.equal(events(end!).at(-1), 'ended')
    for (const event of ['connected', 'ending', 'told'] as const)
      t.ok(events(end!).includes(event), `${event} in ${events(end!).join()}`)
    t.ok(Date.parse(end!.ended) - Date.parse(end!.started) >= 400)
    if (isWebSocket(transport))
      t.match(
        end!.timeline.find(({ event }) => event === 'told'),
        { detail: /Close 1001/ },
      )
  }))

test('whoever is refused is remembered, and a reload forgets nothing', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`
  const gate = await startGate(t, [`${listener}, access: { deny: ["127.0.0.0/8"] }`])
  await outcomeOf(t, gate.port)
  await eventually(async () => (await recentOf(gate)).length === 1)
  t.match(await recentOf(gate), [
    { id: null, reason: 'denied', protocol: null, client: /^127\.0\.0\.1:/, timeline: [] },
  ])
  await gate.reload([listener])
  const client = await connect(t, gate.port)
  client.end()
  await gate.end()
  t.match(await recentOf(gate), [{ reason: 'eof', side: 'client' }, { reason: 'denied' }])
})

test('a client refused behind an ingress that sends no FIN is told of at once, and once', (t) =>
  forEachTransport(t, withHeads, async (t, transport) => {
    const upstream = await echo(t)
    const isSecure = transport.endsWith('tls')
    const server = someServer()
    const tls = !isSecure ? '' : `, tls: { cert: "${server.cert}", key: "${server.key}" }`
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}"${tls}, deadlines: { close: 30s }, ` +
        'access: { deny: [203.0.113.0/24] }, http: { trustForwarded: [private] }',
    ])
    const ingress = await (isSecure
      ? tlsConnect(t, gate.port, { ca: server.ca, options: { allowHalfOpen: true } as object })
      : connect(t, gate.port, { halfOpen: true }))
    void ingress.write(openingBytes(transport, { 'X-Forwarded-For': '203.0.113.7' }))
    await ingress.readUntil('403')
    const refused = { client: '203.0.113.7', peer: /^127/, reason: 'denied' } as const
    t.match(await recentOf(gate, '?client=203.0.113.7'), [{ ...refused, closing: true }])
    t.match(gate.open(), { end: { reason: 'denied' } })
    ingress.end()
    await gate.end()
    const ends = await recentOf(gate)
    t.match(ends, [{ ...refused, closing: false }])
    t.equal(ends.length, 1)
  }))

test('admin.recent bounds what is remembered, and 0 remembers nothing', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  for (const [size, expected] of [
    [2, 2],
    [0, 0],
  ]) {
    const gate = await startGate(
      t,
      [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`],
      {},
      `admin: { address: "127.0.0.1:0", recent: ${size} }`,
    )
    for (let nth = 0; nth < 4; nth++) {
      const client = await connect(t, gate.port)
      client.end()
      await gate.end(nth)
    }
    t.equal((await recentOf(gate)).length, expected)
  }
})

test('what a drain ends is remembered until the process goes', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client } = await openLine(t, transport)
    const drained = gate.drain(300)
    await gate.end()
    await drained
    void client
    const [end] = await recentOf(gate)
    t.match(end, { reason: /^drain/ })
    t.ok(events(end!).includes('ending'))
  }))

test('log.timeline puts it into the line of an end that is not eof, in either format, and a reload turns it on', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client, service, listener } = await openLine(t, transport)
    await gate.reload([listener('')], 'log: { timeline: true }')
    await ask(gate.adminPort, `/connections/${gate.open().id}`, {}, 'DELETE')
    const { line } = await gate.end()
    t.match(
      line['timeline'],
      /^0ms accepted 127\.0\.0\.1:\d+; .*ending killed by Sidegate: by an operator.*; \d+ms ended killed by Sidegate$/,
    )
    void [client, service]
  }))

test('without log.timeline, and for eof, there is none', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const tcp = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`
  const gate = await startGate(t, [tcp])
  const kill = async () => {
    await eventually(() => gate.registry.size === 1)
    await ask(gate.adminPort, `/connections/${gate.open().id}`, {}, 'DELETE')
  }
  await connect(t, gate.port)
  await kill()
  t.equal((await gate.end(0)).line['timeline'], undefined)
  await gate.reload([tcp], 'log: { timeline: true, probes: true }')
  const client = await connect(t, gate.port)
  client.end()
  t.match((await gate.end(1)).line, { close: 'eof', timeline: undefined })
  await connect(t, gate.port)
  await kill()
  t.match((await gate.end(2)).line, { close: 'killed', timeline: /accepted/ })
})
