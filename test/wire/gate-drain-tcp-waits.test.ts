import { test } from 'tap'
import type { Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { requestRaw } from '../support/http.ts'
import { heldBack } from '../support/held-back.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import {
  forEachTransport,
  halfClosing,
  isHttp,
  isWebSocket,
  openLine,
  transports,
} from '../support/transports.ts'
import type { Wire } from '../support/wire.ts'
import { wsClient, wsServer } from '../support/websocket.ts'

/** A database: it answers each query (a byte) when the test says so, with a byte. */
async function database(t: Test) {
  const waiting: Wire[] = []
  const upstream = await listen(t, (wire) => {
    wire.socket.on('data', () => void waiting.push(wire))
    void wire.ended.then(() => wire.end())
  })
  return {
    port: upstream.port,
    waiting,
    answer: () => {
      for (const wire of waiting.splice(0)) void wire.write('!')
    },
  }
}

const ask = (client: Wire): void => void client.write('?')

async function isAnswered(client: Wire): Promise<boolean> {
  return (await within(client.read(1))).toString() === '!'
}

const cutCount = async (gate: Gate): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_drain_cut_total')

for (const kind of ['tcp', 'tls'] as const) {
  test(`${kind}: queries that are under way when a drain begins are answered, and their clients go by themselves`, async (t) => {
    watchLeaks(t)
    const [db, service] = [await database(t), await wsServer(t)]
    const ca = authority(t)
    const server = ca.issue('server')
    const tls = kind === 'tls' ? `, tls: { cert: "${server.cert}", key: "${server.key}" }` : ''
    // All moments are at the end of their window.
    const gate = await startGate(
      t,
      [
        `protocol: tcp, upstream: "127.0.0.1:${db.port}"${tls}`,
        `protocol: http, upstream: "127.0.0.1:${service.port}"`,
      ],
      { random: () => 0.99 },
    )
    const open = (): Promise<Wire> =>
      kind === 'tls' ? tlsConnect(t, gate.port, { ca: ca.cert }) : connect(t, gate.port)
    const clients = await Promise.all([1, 2, 3, 4].map(open))
    const socket = await wsClient(t, `ws://127.0.0.1:${gate.ports[1]}`)
    for (const client of clients) ask(client)
    await eventually(() => db.waiting.length === 4)
    const drained = gate.operator.drain('SIGTERM', { minDurationMs: 50, spreadMs: 300, timeoutMs: 60_000 })
    t.match(await within(socket.closed), { code: 1012, reason: 'drain' }, 'its time is over')
    t.equal(gate.operator.drainState, 'parting')
    db.answer()
    for (const client of clients) {
      t.ok(await isAnswered(client))
      client.end()
    }
    t.match(await within(drained), { drained: 1, forced: 0, others: 4, cut: 0 })
    t.equal(await cutCount(gate), 0)
  })
}

test('at the end of its time a drain ends those first that wait for nothing, and counts those that waited as cut', async (t) => {
  watchLeaks(t)
  const db = await database(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${db.port}"`])
  const clients = await Promise.all([0, 1, 2, 3].map(() => connect(t, gate.port)))
  for (const client of clients) ask(client)
  await eventually(() => db.waiting.length === 4)
  db.answer()
  for (const client of clients) await isAnswered(client)
  // The two longest quiet ones wait for an answer.
  const [first, second, ...idle] = clients
  for (const client of [first!, second!]) ask(client)
  await eventually(() => db.waiting.length === 2)
  for (const client of idle) ask(client)
  await eventually(() => db.waiting.length === 4)
  for (const wire of db.waiting.splice(2)) void wire.write('!')
  for (const client of idle) await isAnswered(client)
  const ended: number[] = []
  clients.forEach((client, nth) => void client.ended.then(() => ended.push(nth)))
  const waits = requestRaw(
    t,
    gate.healthPort,
    'GET /drain/wait HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
  )
  const drained = gate.operator.drain('admin', { minDurationMs: 10, spreadMs: 2500, timeoutMs: 4000 })
  t.match(await within(drained, { withinMs: 20_000 }), { drained: 4, forced: 0, others: 0, cut: 2 })
  t.same(new Set(ended.slice(0, 2)), new Set([2, 3]))
  t.equal(await cutCount(gate), 2)
  t.match(String((await waits).bytes), /\r\n\r\nok\ndrained 4\nforced 0\nothers 0\ncut 2\n$/)
  t.equal(gate.lines.filter((line) => line['cut'] === true).length, 2, 'the log says which')
})

test('drain.tcp: spread ends tcp with all others; SIGINT waits for nobody', async (t) => {
  watchLeaks(t)
  for (const [trigger, tcp] of [
    ['admin', 'spread'],
    ['SIGINT', 'wait'],
  ] as const) {
    const db = await database(t)
    const gate = await startGate(
      t,
      [`protocol: tcp, upstream: "127.0.0.1:${db.port}"`],
      {},
      `drain: { minDuration: off, spread: 100ms, tcp: ${tcp} }`,
    )
    const client = await connect(t, gate.port)
    ask(client)
    await eventually(() => db.waiting.length === 1)
    t.match(await within(gate.operator.drain(trigger)), { drained: 1, cut: 1 })
  }
})

test('a drain that was undone ends nobody, and the next one waits again', async (t) => {
  watchLeaks(t)
  const db = await database(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${db.port}"`])
  const client = await connect(t, gate.port)
  ask(client)
  await eventually(() => db.waiting.length === 1)
  const times = { minDurationMs: 60_000, spreadMs: 100, timeoutMs: 120_000 }
  const undone = gate.operator.drain('admin', times)
  t.equal(gate.operator.undrain(), true)
  t.match(await undone, { isUndone: true, cut: 0 })
  const drained = gate.operator.drain('admin', { ...times, minDurationMs: 10 })
  await eventually(() => gate.operator.drainState === 'parting')
  t.same(await gate.reload([`protocol: tcp, upstream: "127.0.0.1:${db.port}"`], 'drain: { tcp: spread }'), {
    result: 'refused',
    problems: ['a drain is under way'],
  })
  db.answer()
  t.ok(await isAnswered(client))
  client.end()
  t.match(await within(drained), { others: 1, cut: 0 })
})

test('a process that ends in the middle of a drain counts those that waited, and answers /drain/wait', async (t) => {
  watchLeaks(t)
  const db = await database(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${db.port}"`])
  const client = await connect(t, gate.port)
  ask(client)
  await eventually(() => db.waiting.length === 1)
  const drained = gate.operator.drain('SIGTERM', { minDurationMs: 10, spreadMs: 100, timeoutMs: 60_000 })
  await eventually(() => gate.operator.drainState === 'parting')
  await gate.operator.stop()
  t.match(await within(drained), { forced: 1, cut: 1 })
})

test('what is cut, and what is not', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client, service } = await openLine(t, transport, 'deadlines: { close: 300ms }')
    // The service sent the last bytes, but its HTTP answer is not complete.
    const isIdle = !isHttp(transport)
    client.finish()
    if (isWebSocket(transport)) service.finish()
    else await eventually(() => service.isWhole)
    const isHalfClosed = halfClosing.includes(transport)
    const result = await within(
      gate.operator.drain('admin', { minDurationMs: 0, spreadMs: 0, timeoutMs: 300 }),
    )
    t.match(result, { cut: isHalfClosed ? 1 : 0 }, isIdle ? 'half-closed' : 'an answer')
  }))

test('a conversation of each kind that waits for a slow reader is cut, one that is at rest is not', (t) =>
  forEachTransport(
    t,
    transports.filter((transport) => !isHttp(transport)),
    async (t, transport) => {
      const rest = await openLine(t, transport, 'deadlines: { close: 300ms }')
      t.match(await within(rest.gate.drain(5000)), { drained: 1, cut: 0 })
      const slow = await openLine(t, transport, 'deadlines: { close: 300ms }', { unread: true })
      void slow.service.send(32 * 1024 * 1024)
      await heldBack(slow.gate.open(), 'to_client')
      t.match(await within(slow.gate.drain(5000), { withinMs: 9000 }), { cut: 1 })
    },
  ))

test('a client that a rate limit delays waits', async (t) => {
  watchLeaks(t)
  const db = await database(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${db.port}", limits: { bytes: { rate: 1KiB, burst: 64KiB } }`,
  ])
  const client = await connect(t, gate.port)
  void client.write(Buffer.alloc(256 * 1024))
  await eventually(() => db.waiting.length > 0)
  db.answer()
  await isAnswered(client)
  await eventually(() => gate.open().toUpstream.received >= 64 * 1024)
  t.match(await within(gate.drain(1000)), { cut: 1 })
})
