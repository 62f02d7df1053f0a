import root, { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { queueOf } from '../../src/overload/queues.ts'
import { STALLED_MS } from '../../src/overload/victims.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { slowAccept } from '../support/slow-accept.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { rawClient, wsClient, wsServer } from '../support/websocket.ts'

root.setTimeout(120_000)
const MIB = 1024 * 1024

test('clients that keep most of a message each and send a byte now and then do not keep others out: the oldest of them go', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: messages }, deadlines: { close: 500ms }`,
    ],
    {},
    'memory: { buffered: 4MiB }',
  )
  // Seven of these are 97 % of the budget: the gate would refuse new work, and none of them is over the budget.
  const begun = encodeFrame({
    opcode: 'binary',
    declares: MIB,
    payload: Buffer.alloc(583_000),
    mask: Buffer.alloc(4),
  })
  const innocent = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  const timers: NodeJS.Timeout[] = []
  t.teardown(() => timers.forEach((timer) => clearInterval(timer)))
  for (let nth = 0; nth < 7; nth++) {
    const client = await rawClient(t, gate.port)
    void client.send(begun)
    const timer = setInterval(() => void client.send(Buffer.of(0)), 100)
    timers.push(timer)
    void client.closed.then(() => clearInterval(timer))
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
  t.match(await gate.end(), { reason: 'overloaded', side: 'sidegate', line: { id: 2 } }, 'the oldest of them')
  // The gate serves every new client.
  for (let nth = 0; nth < 5; nth++) {
    const other = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    await other.send('hello')
    t.equal((await other.nextMessage()).data.toString(), 'hello')
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  t.equal(
    readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', {
      listener: 'l0',
      reason: 'overloaded',
    }),
    0,
  )
  await innocent.send('still')
  t.equal((await innocent.nextMessage()).data.toString(), 'still')
})

const KIB64 = Buffer.alloc(65_536, 'x')
const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const firsts = {
  'bytes of tcp': KIB64,
  'what comes with an upgrade': Buffer.concat([Buffer.from(upgradeRequest()), KIB64]),
  'the body of a request': Buffer.concat([
    Buffer.from('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n'),
    KIB64,
  ]),
  'requests before their turn': Buffer.alloc(65_536, get),
}

for (const [what, first] of Object.entries(firsts))
  test(`first bytes of clients before an upstream that does not accept are counted, and bounded together: ${what}`, async (t) => {
    watchLeaks(t)
    const isTcp = what === 'bytes of tcp'
    const upstream = await slowAccept(t)
    upstream.received.catch(() => {}) // nothing is
    const gate = await startGate(
      t,
      [
        `protocol: ${isTcp ? 'tcp' : 'http'}, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 20s, close: 500ms }`,
      ],
      {},
      'memory: { buffered: 1MiB }',
    )
    const clients = []
    for (let nth = 0; nth < 20; nth++) {
      const client = await connect(t, gate.port)
      void client.write(first)
      clients.push(client)
    }
    const open = [...gate.registry]
    const held = (): number =>
      [...gate.registry].reduce((sum, { owner }) => sum + owner!.queued('upstream'), 0)
    await eventually(() => held() > MIB / 8, { what: 'first bytes to wait' })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    // Of tcp no client is read that there is no room for; what came in one read with a head is kept where there is room for that, and
    // never so much of it that others are refused.
    const most = isTcp ? MIB / 4 : (MIB / 4) * 3
    t.ok(held() <= most, `${held()} bytes are held`)
    const samples = readSamples(await gate.metrics())
    t.equal(samples.get('sidegate_buffered_bytes', { side: 'upstream' }), held())
    const received = open.reduce((sum, { toUpstream }) => sum + toUpstream.received, 0)
    t.ok(received >= held(), `${received} bytes were received`)
    const ends = gate.lines.map(({ close, detail }) => ({ close, detail }))
    t.equal(ends.length > 0, !isTcp, 'tcp ends nobody for it')
    t.match(
      ends,
      ends.map(() => ({ close: 'overloaded', detail: 'memory.buffered' })),
    )
    const other = await connect(t, gate.port)
    void other.write(isTcp ? 'x' : get)
    await eventually(() =>
      [...gate.registry].some(({ phase, end, id }) => id > 20 && end === null && phase !== 'admit'),
    )
    t.equal(samples.get('sidegate_connections_rejected_total', { listener: 'l0', reason: 'overloaded' }), 0)
    for (const client of [...clients, other]) client.destroy()
  })

for (const [what, first] of Object.entries(firsts).slice(1))
  test(`a client whose first bytes wait for an upstream is stalled, as for an overload: ${what}`, async (t) => {
    watchLeaks(t)
    const upstream = await slowAccept(t)
    upstream.received.catch(() => {}) // nothing is
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 20s, close: 500ms }`,
    ])
    const client = await connect(t, gate.port)
    void client.write(first)
    await eventually(() => gate.registry.size === 1 && gate.open().owner!.queued('upstream') > 0)
    await eventually(() => (queueOf(gate.open(), systemClock.now())?.quietMs ?? 0) > STALLED_MS)
    t.equal(gate.open().end, null)
    client.destroy()
  })

test('a client that is not read while its upstream is dialled, for want of room, is served all the same', async (t) => {
  watchLeaks(t)
  const stuck = await slowAccept(t)
  stuck.received.catch(() => {}) // nothing is
  const upstream = await echo(t)
  const keys = 'deadlines: { connect: 20s, close: 500ms }'
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${stuck.port}", ${keys}`,
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${keys}`,
    ],
    {},
    'memory: { buffered: 256KiB }',
  )
  // One read is all the room that there is.
  const holder = await connect(t, gate.ports[0]!)
  void holder.write(Buffer.alloc(65_536))
  await eventually(() => gate.registry.size === 1 && gate.open().owner!.queued('upstream') > 0)
  const client = await connect(t, gate.ports[1]!, { halfOpen: true })
  client.end('hello')
  t.equal((await client.received).toString(), 'hello')
  holder.destroy()
})
