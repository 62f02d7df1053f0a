// What health checks and dials have found out about an address holds across a reload of other keys of the upstream: a
// service that is known to be ill would get its share of the clients again until its checks had failed anew. So do the places that
// connections of before it hold.

import { test } from 'tap'
import type { Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { freePort } from '../support/free-port.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import type { RecordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'

const LONG = { withinMs: 20_000 }
/** The next check comes long after the test, but for the first ones. */
const check = (path = '/healthz', interval = '100ms'): string =>
  `healthCheck: { type: http, path: "${path}", interval: ${interval}, timeout: 5s, healthy: 2, unhealthy: 2 }`
const to = ({ port }: { port: number }, keys: string): string =>
  `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], ${keys} }`

async function states(gate: Gate): Promise<unknown[]> {
  const samples = readSamples(await gate.metrics())
  return ['unknown', 'healthy', 'unhealthy'].map((state) =>
    samples.get('sidegate_upstream_targets', { listener: 'l0', state }),
  )
}

/** Its checks fail, and its requests are answered. */
const ill = (t: Test): Promise<RecordingUpstream> =>
  recordingUpstream(t, ({ target }) =>
    target === '/healthz' ? 'HTTP/1.1 500 Ill\r\nContent-Length: 0\r\n\r\n' : OK,
  )

async function status({ port }: Gate, t: Test): Promise<number> {
  const client = await httpClient(t, port)
  const answer = await client.get(get('/asked'))
  client.wire.end()
  return answer.status
}

for (const workers of [1, 2]) {
  test(`an address that fails its healthCheck gets nobody after a reload of other keys; ${workers} workers`, async (t) => {
    watchLeaks(t, LONG)
    const upstream = await ill(t)
    const gate = await startGate(t, [to(upstream, check())], { workers })
    await eventually(async () => String(await states(gate)) === '0,0,1', LONG)
    for (const keys of [', maxIdle: 7', ', maxConnections: 9', ', keepAlive: 2s, balance: roundRobin']) {
      t.match(await gate.reload([to(upstream, check() + keys)]), { result: 'success' })
      t.equal(String(await states(gate)), '0,0,1', keys)
      t.equal(await status(gate, t), 503)
    }
    t.notOk(upstream.requests.some(({ target }) => target === '/asked'))
  })

  test(`one whose healthCheck asks for something else is unknown; ${workers} workers`, async (t) => {
    watchLeaks(t, LONG)
    const upstream = await ill(t)
    const gate = await startGate(t, [to(upstream, check())], { workers })
    await eventually(async () => String(await states(gate)) === '0,0,1', LONG)
    t.match(await gate.reload([to(upstream, check('/other', '1h'))]), { result: 'success' })
    t.equal(await status(gate, t), 200)
  })
}

test('an address whose dial failed is not tried by a client after a reload of other keys', async (t) => {
  watchLeaks(t)
  const live = await recordingUpstream(t)
  const both = (keys: string): string =>
    `protocol: http, upstream: { addresses: ["127.0.0.1:${dead}", "127.0.0.1:${live.port}"], retryFor: off${keys} }`
  const dead = freePort()
  const gate = await startGate(t, [both('')])
  const failures = async (): Promise<number> => {
    const text = await gate.metrics()
    return [...text.matchAll(/^sidegate_upstream_connect_failures_total\{.*\} (\d+)$/gm)].reduce(
      (sum, [, count]) => sum + Number(count),
      0,
    )
  }
  t.equal(await status(gate, t), 200)
  const before = await failures()
  t.ok(before > 0)
  t.match(await gate.reload([both(', maxIdle: 7')]), { result: 'success' })
  for (let nth = 0; nth < 4; nth++) t.equal(await status(gate, t), 200)
  t.equal(await failures(), before)
})

for (const workers of [1, 2])
  test(`connections of before a reload hold their places under maxConnections; ${workers} workers`, async (t) => {
    watchLeaks(t, LONG)
    const service = await echo(t)
    const listener = (keys: string): string =>
      `protocol: tcp, upstream: { addresses: ["127.0.0.1:${service.port}"], queueTimeout: 30s${keys} }`
    const gate = await startGate(t, [listener(', maxConnections: 3')], { workers })
    const before = await Promise.all([connect(t, gate.port), connect(t, gate.port)])
    for (const wire of before) {
      await wire.write('a')
      await wire.read(1)
    }
    t.match(await gate.reload([listener(', maxConnections: 2')]), { result: 'success' })
    const waits = await connect(t, gate.port)
    await waits.write('b')
    const queued = async (): Promise<unknown> =>
      readSamples(await gate.metrics()).get('sidegate_upstream_queued', { listener: 'l0' })
    await eventually(async () => (await queued()) === 1, LONG)
    t.equal(service.connections.length, 2)
    before[0].end()
    t.equal((await waits.read(1)).toString(), 'b', 'the first place that is free')
    await before[1].write('c')
    t.equal((await before[1].read(1)).toString(), 'c')
    waits.end()
    before[1].end()
  })
