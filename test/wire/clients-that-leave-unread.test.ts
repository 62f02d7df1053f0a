// A client that waits for its upstream and has sent more than the gate reads meanwhile, or for which there is no room to read, is not
// read. It leaves all the same: its wait ends at once, and its turn goes to the next. One that has ended its half only, and may, is
// served in its turn.

import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { someServer } from '../support/certificates.ts'
import { pattern } from '../support/bytes.ts'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { h2Wire, websocketHead } from '../support/h2-wire.ts'
import { get } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import type { Upstream } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import type { TlsWire } from '../support/tls-peers.ts'
import { temporary } from '../support/tools.ts'
import type { Wire } from '../support/wire.ts'
import { readSamples } from '../metrics/samples.ts'

const ways = ['tcp', 'tls', 'unix'] as const
type Way = (typeof ways)[number]
type Leave = 'FIN' | 'RST'

/** More than is read ahead of the upstream, and less than a kernel holds. */
const MUCH = 100_000
const post = get('/', `Content-Length: ${MUCH}\r\n`, 'POST')

/** What a client says, by the protocol of its listener. */
const speeches = {
  tcp: { protocol: 'tcp', bytes: pattern(MUCH, 1, 0) },
  http: { protocol: 'http', bytes: Buffer.concat([Buffer.from(post), pattern(MUCH, 1, 0)]) },
  upgrade: {
    protocol: 'http',
    bytes: Buffer.concat([
      Buffer.from(upgradeRequest()),
      encodeFrame({ opcode: 'binary', payload: pattern(MUCH, 1, 0), mask: true }),
    ]),
  },
} as const

interface Crowd {
  gate: Gate
  service: Upstream
  /** A client by that way. */
  come(): Promise<Wire>
  queued(): Promise<number>
}

interface Options {
  way: Way
  protocol: string
  keys?: string
  top?: string
  workers?: number
}

/** The only place of the service is taken, for as long as the test's first client stays. */
async function crowded(
  t: Test,
  { way, protocol, keys = '', top = '', workers = 1 }: Options,
): Promise<Crowd & { first: Wire; listener: (more: string) => string }> {
  watchLeaks(t)
  const service = await listen(t, () => {})
  const server = someServer()
  const path = join(temporary(t), 'gate')
  const at = way === 'unix' ? `address: "unix:${path}", ` : ''
  const tls = way === 'tls' ? `, tls: { cert: "${server.cert}", key: "${server.key}" }` : ''
  const upstream = `{ addresses: ["127.0.0.1:${service.port}"], maxConnections: 1, queueTimeout: 1h }`
  const listener = (more: string): string =>
    `${at}protocol: ${protocol}, upstream: ${upstream}${tls}${keys}${more}`
  const gate = await startGate(t, [listener('')], { workers }, top)
  const come = (): Promise<Wire> =>
    way === 'tls'
      ? tlsConnect(t, gate.port, {
          ca: server.ca,
          options: { allowHalfOpen: true } as object,
        })
      : connect(t, way === 'unix' ? path : gate.port, { halfOpen: true })
  const first = await come()
  void first.write(protocol === 'tcp' ? '1' : get())
  await service.connection()
  const queued = async (): Promise<number> =>
    readSamples(await gate.metrics()).sum('sidegate_upstream_queued')
  return { gate, service, come, queued, first, listener }
}

function leave(wire: Wire, how: Leave): void {
  const { raw } = wire as Partial<TlsWire>
  if (how === 'FIN') wire.end()
  else if (wire.socket.remoteAddress === undefined) wire.destroy()
  else if (raw === undefined) wire.reset()
  else raw.resetAndDestroy()
}

/** It waits for its turn, and the gate has read of it what it reads. */
async function waiting({ gate, queued }: Crowd, count = 1): Promise<void> {
  await eventually(async () => (await queued()) === count)
  await eventually(() => [...gate.registry].some(({ toUpstream }) => toUpstream.received >= 16_384))
}

for (const [speech, { protocol, bytes }] of Object.entries(speeches))
  for (const way of ways)
    for (const how of ['FIN', 'RST'] as const) {
      // An upgrade needs both halves; the others are served after a FIN.
      if (how === 'FIN' && speech !== 'upgrade') continue
      // A unix socket tells nothing of a FIN as long as its bytes are unread: a client that closes is seen, as by RST.
      if (how === 'FIN' && way === 'unix') continue
      test(`${speech} over ${way}: a client that is not read leaves by ${how}, and its turn is the next one's`, async (t) => {
        const crowd = await crowded(t, { way, protocol })
        const wire = await crowd.come()
        void wire.write(bytes)
        await waiting(crowd)
        leave(wire, how)
        const end = await crowd.gate.end()
        t.match(end, { reason: how === 'FIN' ? 'aborted' : 'reset', side: 'client' })
        t.equal(await crowd.queued(), 0)
        t.equal(crowd.service.connections.length, 1)
        wire.destroy()
      })
    }

// Eight upgrades have room for a read each; the others wait without.
const BUFFERED = 'memory: { buffered: 2MiB }'
const situations = ['as ever', 'after a reload', 'in a drain', 'with workers'] as const
for (const situation of situations)
  for (const how of ['FIN', 'RST'] as const)
    test(`upgrades for which there is no room to read leave by ${how}, ${situation}`, async (t) => {
      const workers = situation === 'with workers' ? 2 : 1
      const crowd = await crowded(t, { way: 'tcp', protocol: 'http', top: BUFFERED, workers })
      const { gate, service, come, queued, first } = crowd
      const wires = await Promise.all(Array.from({ length: 20 }, () => come()))
      for (const wire of wires) void wire.write(upgradeRequest())
      await eventually(async () => (await queued()) === 20)
      if (situation === 'after a reload')
        t.match(await gate.reload([crowd.listener(', deadlines: { idle: 2h }')], BUFFERED), {
          result: 'success',
        })
      const drained = situation === 'in a drain' ? gate.drain(30_000) : null
      for (const wire of wires) leave(wire, how)
      await eventually(async () => (await queued()) === 0, { what: 'an empty queue' })
      if (drained === null) {
        const late = await come()
        void late.write(upgradeRequest({ path: '/late' }))
        await eventually(async () => (await queued()) === 1)
        first.reset()
        t.match((await (await service.connection(1)).readUntil('\r\n')).toString(), 'GET /late ')
      } else {
        first.reset()
        t.match(await drained, { forced: 0 })
      }
      t.equal(service.connections.length, drained === null ? 2 : 1)
    })

test('a client that is not read leaves while its dial hangs', async (t) => {
  watchLeaks(t)
  const { port } = await backlogFull(t)
  for (const [speech, { protocol, bytes }] of Object.entries(speeches)) {
    const gate = await startGate(t, [
      `protocol: ${protocol}, upstream: "127.0.0.1:${port}", deadlines: { connect: 1h }`,
    ])
    const wire = await connect(t, gate.port)
    void wire.write(bytes)
    await eventually(() => [...gate.registry].some(({ toUpstream }) => toUpstream.received >= 16_384))
    wire.reset()
    t.match(await gate.end(), { reason: 'reset', side: 'client' }, speech)
  }
})

test('an upgrade whose service does not answer leaves unread', async (t) => {
  watchLeaks(t)
  const service = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${service.port}", deadlines: { response: 1h, close: 100ms }`,
  ])
  const wire = await connect(t, gate.port)
  void wire.write(speeches.upgrade.bytes)
  await (await service.connection()).readUntil('\r\n\r\n')
  await eventually(() => [...gate.registry].some(({ toUpstream }) => toUpstream.received >= 16_384))
  wire.end()
  t.match(await gate.end(), { reason: 'aborted', side: 'client' })
})

test('a request that is not read leaves by FIN with http.abortOnHalfClose, also behind one that is asked', async (t) => {
  const keys = ', http: { abortOnHalfClose: on }'
  const crowd = await crowded(t, { way: 'tcp', protocol: 'http', keys })
  const wire = await crowd.come()
  void wire.write(speeches.http.bytes)
  await waiting(crowd)
  leave(wire, 'FIN')
  t.match(await crowd.gate.end(), { reason: 'aborted', side: 'client' })
  // Behind its request wait others, of which the gate reads a little.
  void crowd.first.write(get().repeat(2000))
  const [connection] = [...crowd.gate.registry]
  await eventually(() => connection!.toUpstream.received >= 16_384)
  leave(crowd.first, 'FIN')
  t.match(await crowd.gate.end(1), { reason: 'aborted', side: 'client' })
})

for (const [speech, { protocol, bytes }] of Object.entries(speeches).filter(([name]) => name !== 'upgrade'))
  for (const way of ways)
    test(`${speech} over ${way}: a client that is not read, and has ended its half, is served in its turn`, async (t) => {
      const crowd = await crowded(t, { way, protocol })
      const wire = await crowd.come()
      void wire.write(bytes)
      wire.end()
      await waiting(crowd)
      // So many looks would find it gone.
      const from = performance.now()
      await eventually(() => performance.now() - from > 1500)
      t.equal(await crowd.queued(), 1)
      ;(await crowd.service.connection()).reset()
      const seen = await crowd.service.connection(1)
      await eventually(() => seen.bytes >= MUCH)
      if (protocol === 'tcp') t.ok(await seen.ended)
      const answer = protocol === 'tcp' ? 'done' : 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone'
      void seen.write(answer).then(() => seen.end())
      t.match((await wire.received).toString(), /done$/)
    })

test('a stream of HTTP/2 with much to say leaves by RST_STREAM, and with its connection', async (t) => {
  const crowd = await crowded(t, { way: 'tcp', protocol: 'http', keys: ', http: { h2c: on }' })
  const heads = {
    request: { ':method': 'POST', ':path': '/' },
    websocket: websocketHead({}),
  }
  let ends = 0
  for (const [name, head] of Object.entries(heads))
    for (const how of ['RST_STREAM', 'RST', 'FIN']) {
      const wire = await h2Wire(t, crowd.gate.port, head)
      void wire.write(
        name === 'request'
          ? pattern(60_000, 1, 0)
          : encodeFrame({ opcode: 'binary', payload: pattern(60_000, 1, 0), mask: true }),
      )
      await waiting(crowd)
      if (how === 'RST_STREAM') wire.stream.close(8)
      else if (how === 'RST') wire.raw.resetAndDestroy()
      else wire.raw.destroy()
      await eventually(async () => (await crowd.queued()) === 0, { what: `${name}, ${how}` })
      t.match(await crowd.gate.end(ends), { side: 'client' }, `${name}, ${how}`)
      if (how === 'RST_STREAM') wire.raw.destroy()
      await eventually(() => crowd.gate.registry.size === 1)
      ends = crowd.gate.lines.length
    }
  t.equal(crowd.service.connections.length, 1)
})
