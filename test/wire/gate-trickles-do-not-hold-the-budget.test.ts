import root, { test } from 'tap'
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
  // Seven of these are 97 % of the budget: new work would be refused, and none of them is over it.
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
  // Whoever comes is served.
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

for (const protocol of ['tcp', 'http'] as const)
  test(`first bytes of clients before an upstream that does not accept are counted, and bounded together: ${protocol}`, async (t) => {
    watchLeaks(t)
    const isTcp = protocol === 'tcp'
    const upstream = await slowAccept(t)
    upstream.received.catch(() => {}) // nothing is
    const gate = await startGate(
      t,
      [
        `protocol: ${protocol}, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 20s, close: 500ms }`,
      ],
      {},
      'memory: { buffered: 1MiB }',
    )
    const first = Buffer.concat([Buffer.from(isTcp ? '' : upgradeRequest()), Buffer.alloc(65_536)])
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
    // Of tcp no client is read that there is no room for; what came in one read with a head is shed, as all that waits.
    const most = isTcp ? MIB / 4 : MIB
    t.ok(held() <= most, `${held()} bytes are held`)
    t.equal(readSamples(await gate.metrics()).get('sidegate_buffered_bytes', { side: 'upstream' }), held())
    const received = open.reduce((sum, { toUpstream }) => sum + toUpstream.received, 0)
    t.ok(received >= held(), `${received} bytes were received`)
    if (isTcp) t.same(gate.lines, [], 'nobody is ended for it')
    else t.ok(gate.lines.every((line) => line['close'] === 'overloaded'))
    for (const client of clients) client.destroy()
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
