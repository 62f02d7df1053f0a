import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, listen } from '../support/peers.ts'
import { forEachTransport, isHttp, openLine, transports } from '../support/transports.ts'
import { readSamples } from '../metrics/samples.ts'

/** A resolver that the test controls: addresses, or the code of a failure. The gate asks it every 30 ms. */
function resolver(first: string[] | string) {
  const held = { found: first, questions: 0 }
  const lookup = async (): Promise<string[]> => {
    held.questions++
    if (typeof held.found === 'string') throw Object.assign(new Error(held.found), { code: held.found })
    return held.found
  }
  /** Resolves after so many more lookups. */
  const asked = (times: number): Promise<unknown> => {
    const until = held.questions + times
    return eventually(() => held.questions >= until, { what: 'more questions' })
  }
  return { held, asked, names: { lookup, refreshMs: 30 } }
}

/** A plain request gets its answer first, and then it has no place any more; upstream-unhealthy.test.ts shows how its connection ends. */
const pairs = transports.filter((transport) => !isHttp(transport))

async function namesOf(gate: Gate): Promise<Record<string, number>> {
  const samples = readSamples(await gate.metrics())
  const states = ['resolved', 'stale', 'absent', 'unresolved']
  return Object.fromEntries(
    states.map((state) => [state, samples.get('sidegate_upstream_names', { listener: 'l0', state })!]),
  )
}

test('a conversation goes on at an address that its name stands for no more, and after its end the address is forgotten', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { names, held, asked } = resolver(['127.0.0.1'])
    const { gate, client, service } = await openLine(t, transport, 'deadlines: { close: 300ms }', {
      parts: { names },
      upstreamOf: (port) => `"service:${port}"`,
    })
    held.found = ['127.0.0.9']
    await asked(6)
    const gone = (): number | undefined =>
      readSamples(metrics).sum('sidegate_upstream_targets', { listener: 'l0', state: 'gone' })
    let metrics = await gate.metrics()
    t.equal(gone(), 1)
    await service.send(100_000)
    await client.send(100_000)
    await eventually(() => client.got.bytes === 100_001 && service.got.bytes === 100_001)
    t.equal(gate.lines.length, 0)
    client.reset()
    await eventually(async () => ((metrics = await gate.metrics()), gone() === 0), { withinMs: 30_000 })
  }))

test('onRemoved end: a conversation ends with upstream_unhealthy once two answers in a row lack its address', (t) =>
  forEachTransport(t, pairs, async (t, transport) => {
    const { names, held } = resolver(['127.0.0.1'])
    const upstreamOf = (port: number): string => `{ addresses: ["service:${port}"], onRemoved: end }`
    const { gate, client, upstream } = await openLine(t, transport, 'deadlines: { close: 300ms }', {
      parts: { names },
      upstreamOf,
    })
    held.found = ['127.0.0.9']
    t.match(await gate.end(), {
      reason: 'upstream_unhealthy',
      side: 'upstream',
      detail: `127.0.0.1:${upstream.port} is gone from DNS (service)`,
    })
    client.reset()
  }))

test('an address that is gone and does not accept any more ends its conversations with upstream_unhealthy, one that accepts does not', (t) =>
  forEachTransport(t, pairs, async (t, transport) => {
    const { names, held, asked } = resolver(['127.0.0.1'])
    const { gate, client, upstream } = await openLine(t, transport, 'deadlines: { close: 300ms }', {
      parts: { names },
      upstreamOf: (port) => `"service:${port}"`,
    })
    held.found = ['127.0.0.9']
    await asked(6)
    t.equal(gate.lines.length, 0)
    upstream.stopAccepting()
    t.match(await gate.end(), {
      reason: 'upstream_unhealthy',
      side: 'upstream',
      detail: `127.0.0.1:${upstream.port} is gone from DNS (service), and a dial fails: ECONNREFUSED`,
    })
    client.reset()
  }))

test('with health checks it is they that say whether an address that is gone is well', async (t) => {
  watchLeaks(t)
  const { names, held, asked } = resolver(['127.0.0.1'])
  const service = await echo(t)
  const check = 'healthCheck: { type: tcp, interval: 100ms, timeout: 1s, healthy: 1, unhealthy: 2 }'
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: { addresses: ["service:${service.port}"], ${check} }`],
    { names },
  )
  const client = await connect(t, gate.port)
  await client.write('x')
  await client.read(1)
  held.found = ['127.0.0.9']
  await asked(6)
  await client.write('x')
  t.equal((await client.read(1)).toString(), 'x')
  service.stopAccepting()
  t.match(await gate.end(), { reason: 'upstream_unhealthy', detail: /failed its health checks/ })
})

test('"no such name" gives a service up that was scaled to zero: nobody reaches who has its address now', async (t) => {
  watchLeaks(t)
  const { names, held, asked } = resolver(['127.0.0.1'])
  const tenant = await echo(t)
  const keys = `upstream: { addresses: ["service:${tenant.port}"], staleFor: 300ms }`
  const gate = await startGate(t, [`protocol: tcp, ${keys}`, `protocol: http, ${keys}`], { names })
  const early = await connect(t, gate.port)
  await early.write('x')
  await early.read(1)
  held.found = 'EAI_AGAIN'
  await asked(3)
  t.match(await namesOf(gate), { stale: 1 })
  const meanwhile = await connect(t, gate.port)
  await meanwhile.write('x')
  t.equal((await meanwhile.read(1)).toString(), 'x', 'a resolver that fails takes nothing away')
  held.found = 'ENOTFOUND'
  await eventually(async () => (await namesOf(gate))['absent'] === 1)
  const before = tenant.connections.length
  // RST, perhaps before the client knows that it is connected.
  await eventually(() =>
    connect(t, gate.port).then(
      () => gate.lines.length > 0,
      () => gate.lines.length > 0,
    ),
  )
  t.match(await gate.end(), {
    reason: 'no_upstream',
    side: 'upstream',
    phase: 'connect',
    detail: 'service: there is no such name any more (ENOTFOUND, upstream.staleFor)',
  })
  t.match(await fetch(`http://127.0.0.1:${gate.ports[1]}`), { status: 503 })
  t.ok(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'no_upstream',
    }) >= 2,
  )
  const [view] = (await (await fetch(`http://127.0.0.1:${gate.adminPort}/upstreams`)).json()) as unknown[]
  t.match(view, {
    names: [{ name: 'service', state: 'absent', addresses: 0, absentSince: /^20/, problem: 'ENOTFOUND' }],
    targets: [{ state: 'gone', open: 2 }],
  })
  await early.write('y')
  t.equal((await early.read(1)).toString(), 'y', 'who is there goes on')
  t.ok(
    tenant.connections.slice(before).every(({ bytes }) => bytes === 0),
    'looks whether it still accepts say nothing',
  )
  held.found = ['127.0.0.1']
  await eventually(async () => (await namesOf(gate))['resolved'] === 1)
  const late = await connect(t, gate.port)
  await late.write('z')
  t.equal((await late.read(1)).toString(), 'z')
})

test('a reload that changes the upstream while DNS is out keeps the addresses that were good, for those who are there and those who come', (t) =>
  forEachTransport(t, transports, async (t, transport) => {
    const { names, held, asked } = resolver(['127.0.0.1'])
    const line = await openLine(t, transport, 'deadlines: { close: 300ms }', {
      parts: { names },
      upstreamOf: (port) => `"service:${port}"`,
    })
    const { gate, client, service, upstream, listener } = line
    held.found = 'EAI_AGAIN'
    await asked(1)
    t.match(
      await gate.reload([listener('', `{ addresses: ["service:${upstream.port}"], maxConnections: 7 }`)]),
      { result: 'success' },
    )
    const next = await connect(t, gate.port)
    await eventually(() => gate.registry.size >= 1)
    if (transport === 'tcp') await eventually(() => upstream.connections.length === 2)
    t.match(await namesOf(gate), { stale: 1, unresolved: 0 })
    await client.send(1000)
    await eventually(() => service.got.bytes >= 1001)
    // Its second answer, as long as the first listener is there and when it is not.
    await asked(2)
    t.match(await namesOf(gate), { stale: 1 })
    next.reset()
    client.reset()
  }))

test('a listener that a reload takes out and another brings back finds its addresses again, DNS or not', async (t) => {
  watchLeaks(t)
  const { names, held } = resolver(['127.0.0.1'])
  const service = await echo(t)
  const other = await listen(t, () => {})
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "service:${service.port}"`,
      `protocol: tcp, upstream: "127.0.0.1:${other.port}"`,
    ],
    { names },
  )
  await eventually(async () => (await namesOf(gate))['resolved'] === 1)
  held.found = 'EAI_AGAIN'
  t.match(await gate.reload([`protocol: tcp, upstream: "127.0.0.1:${other.port}"`]), { result: 'success' })
  t.match(
    await gate.reload([
      `protocol: tcp, upstream: { addresses: ["service:${service.port}"], balance: roundRobin }`,
    ]),
    { result: 'success' },
  )
  const client = await connect(t, gate.operator.ports[0]!)
  await client.write('x')
  t.equal((await client.read(1)).toString(), 'x')
})
