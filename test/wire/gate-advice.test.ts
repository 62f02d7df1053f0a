import { test } from 'tap'
import type { AdviceItem, AdviceView } from '../../src/admin/types.ts'
import { ask } from '../admin/admin.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { forEachTransport, isHttp, isWebSocket, openLine, transports } from '../support/transports.ts'

async function adviceOf(gate: Gate, query = '?anyway=1'): Promise<AdviceView[]> {
  const { status, body } = await ask(gate.adminPort, `/advice${query}`, {}, 'GET')
  if (status !== 200) throw new Error(`${status} ${body}`)
  return JSON.parse(body) as AdviceView[]
}

const item = ([view]: AdviceView[], key: string): AdviceItem | undefined =>
  view!.items.find((one) => one.key === key)

test('what a connection does is seen while it is open, stays when it is gone and over a reload, and is forgotten on request', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { gate, client, service, listener } = await openLine(t, transport)
    await client.send(100_000)
    await eventually(() => service.got.bytes === client.sent, { what: 'all of it' })
    await eventually(async () => item(await adviceOf(gate), 'limits.bytes.rate')!.seen.count >= 1, {
      what: 'the pace of an open connection',
      withinMs: 20_000,
    })
    const open = await adviceOf(gate)
    t.match(item(open, 'limits.connections')!.seen, { count: 1, max: 1 })
    t.ok(item(open, 'deadlines.connect')!.seen.count >= 1)
    if (isWebSocket(transport)) {
      // One byte, then whole pieces of 16 KiB and a rest.
      t.match(item(open, 'websocket.maxMessage')!.seen, { count: 8, max: 16_384 })
      t.match(item(open, 'http.maxHeader')!.seen, { count: 2 })
      t.match(item(open, 'deadlines.response')!.seen, { count: 1 })
    }
    if (isHttp(transport)) t.match(item(open, 'http.maxHeader')!.seen, { count: 2 })
    client.reset()
    service.reset()
    await gate.end()
    await gate.reload([listener('limits: { mode: observe }')])
    const after = await adviceOf(gate)
    t.equal(item(after, 'limits.bytes.rate')!.seen.count >= 1, true)
    t.equal(item(after, 'limits.connections')!.seen.count, 1, 'each connection counts once')
    t.equal((await ask(gate.adminPort, '/advice', {}, 'DELETE')).status, 200)
    t.equal(item(await adviceOf(gate), 'limits.connections')!.seen.count, 0)
  }))

test('a listener is asked for by its name, and what is not understood is refused', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const tcp = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`
  const gate = await startGate(t, [tcp, tcp])
  for (const port of gate.ports) {
    const client = await connect(t, port)
    await client.write('x')
    await client.read(1)
  }
  t.same(
    (await adviceOf(gate, '')).map(({ listener }) => listener),
    ['l0', 'l1'],
  )
  t.match(item(await adviceOf(gate, ''), 'limits.connections'), {
    proposed: null,
    why: /^Too little to go by: 1 of 10000 /,
  })
  t.same(
    (await adviceOf(gate, '?listener=l1')).map(({ listener }) => listener),
    ['l1'],
  )
  t.match(await ask(gate.adminPort, '/advice?listener=none', {}, 'GET'), {
    status: 404,
    body: /no such listener, known are l0, l1/,
  })
  t.equal((await ask(gate.adminPort, '/advice?anyway=yes', {}, 'GET')).status, 400)
  t.equal((await ask(gate.adminPort, '/advice?all=1', {}, 'GET')).status, 400)
})

test('a rate that a limit held down is told beside it, and forgotten with the rest', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { bytes: { rate: 64KiB, burst: 64KiB } }`,
  ])
  t.equal(item(await adviceOf(gate), 'limits.bytes.rate')!.unknown, null)
  const client = await connect(t, gate.port)
  void client.write(Buffer.alloc(1 << 20))
  await eventually(async () => item(await adviceOf(gate), 'limits.bytes.rate')!.unknown !== null)
  t.match(
    item(await adviceOf(gate), 'limits.bytes.rate')!.unknown,
    /^limits\.bytes \(64KiB now\) made them wait (once|\d+ times): how many a second .* cannot be known\.$/,
  )
  client.destroy()
  await gate.end()
  await ask(gate.adminPort, '/advice', {}, 'DELETE')
  t.equal(item(await adviceOf(gate), 'limits.bytes.rate')!.unknown, null)
})

test('what a key has ended or refused is told beside it', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 300ms }`,
  ])
  const client = await connect(t, gate.port)
  await client.write('x')
  await gate.end()
  t.match(item(await adviceOf(gate), 'deadlines.idle'), {
    inForce: '300ms',
    unknown: /^1 connection was ended or refused by deadlines\.idle \(300ms now\)/,
  })
})
