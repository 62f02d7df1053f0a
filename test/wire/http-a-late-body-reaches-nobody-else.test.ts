// Bytes that a service sends late, after an answer without a body, meet the next request on its connection
// and look like the answer to it. They may reach the client of the earlier answer, never another.

import { test } from 'tap'
import type { Test } from 'tap'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import type { RecordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'

const answer = (body: string): string => `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`

/** It announces a body that it must not have. */
const SAME = 'HTTP/1.1 304 Same\r\nContent-Length: 43\r\n\r\n'

/** After the answer to `/odd` a body comes at the next request, and from then on each answer comes one request late. */
async function path(t: Test, odd: string, keys = ''): Promise<{ gate: Gate; upstream: RecordingUpstream }> {
  watchLeaks(t)
  const owed = new Map<number, string>()
  const upstream = await recordingUpstream(t, ({ target, connection }) => {
    const late = owed.get(connection)
    if (late !== undefined || target === '/odd')
      owed.set(connection, answer(target === '/odd' ? '/poison' : target))
    return target === '/odd' ? odd : (late ?? answer(target))
  })
  // No time passes: kept connections stay.
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"${keys}`], {
    clock: stillClock(),
  })
  return { gate, upstream }
}

const odds: Array<[name: string, method: string, head: string]> = [
  ['the answer to a HEAD', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n'],
  ['the answer to a HEAD, in chunks', 'HEAD', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'],
  ['the answer to a HEAD, without a framing', 'HEAD', 'HTTP/1.1 200 OK\r\n\r\n'],
  ['a 304 with a length', 'GET', 'HTTP/1.1 304 Same\r\nContent-Length: 43\r\n\r\n'],
  ['a 304 in chunks', 'GET', 'HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n'],
]

for (const [name, method, head] of odds) {
  test(`a late body behind ${name} is not the answer of another client`, async (t) => {
    const { gate } = await path(t, head)
    const [anna, bert] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
    await anna.get(get('/odd', '', method), { method })
    for (let i = 0; i < 3; i++) t.equal((await bert.get(get('/bert'))).body.toString(), '/bert')
  })
}

test('nor is what the service answers behind it: the connection stays with its client', async (t) => {
  const { gate } = await path(t, SAME)
  const [anna, bert] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  await anna.get(get('/odd'))
  t.equal((await anna.get(get('/anna'))).body.toString(), '/poison')
  t.equal((await bert.get(get('/bert'))).body.toString(), '/bert')
})

test('one client after the other shares no connection behind such answers, of a peer that names them either', async (t) => {
  const { gate } = await path(t, SAME, ', http: { trustForwarded: [private] }')
  const ingress = await httpClient(t, gate.port)
  const of = (ip: string): string => `X-Forwarded-For: ${ip}\r\n`
  await ingress.get(get('/odd', of('203.0.113.1')))
  t.equal((await ingress.get(get('/bert', of('203.0.113.2')))).body.toString(), '/bert')
})

test('over HTTP/2 it is not the answer on another connection', async (t) => {
  const { gate } = await path(t, SAME, ', http: { h2c: on }')
  const [anna, bert] = [await h2Connect(t, gate.port), await h2Connect(t, gate.port)]
  t.equal((await h2Ask(anna, { ':path': '/odd' })).status, 304)
  t.equal((await h2Ask(bert, { ':path': '/bert' })).body, '/bert')
})

for (const h2c of [false, true])
  test(`a client that goes on after such answers goes on on its connection${h2c ? ', a stream of HTTP/2 on that of its session' : ''}`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t, ({ nth }) => (nth % 2 === 0 ? SAME : OK))
    const gate = await startGate(
      t,
      [`protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on }`],
      { clock: stillClock() },
    )
    const session = h2c ? await h2Connect(t, gate.port) : null
    const client = await httpClient(t, gate.port)
    const ask = async (): Promise<number> =>
      (session === null ? await client.get(get()) : await h2Ask(session)).status
    for (let i = 0; i < 6; i++) t.equal(await ask(), i % 2 === 0 ? 304 : 200)
    t.equal(upstream.connections.length, 1)
  })

test('a service has no more connections than requests, though clients keep theirs', async (t) => {
  const { gate, upstream } = await path(t, SAME)
  for (let i = 0; i < 5; i++) {
    const client = await httpClient(t, gate.port)
    t.equal((await client.get(get('/odd'))).status, 304)
    for (const earlier of upstream.connections.slice(0, i)) await within(earlier.ended)
  }
  t.equal(upstream.connections.length, 5)
})

test("a fresh connection of a client that had its own is everybody's", async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, ({ target }) =>
    target === '/same'
      ? SAME
      : `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${target === '/last' ? 'Connection: close\r\n' : ''}\r\n`,
  )
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], {
    clock: stillClock(),
  })
  const [anna, bert] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  for (const target of ['/same', '/last', '/fresh']) await anna.get(get(target))
  await bert.get(get('/bert'))
  t.same(
    upstream.requests.map(({ connection }) => connection),
    [0, 0, 1, 1],
  )
})

for (const head of [
  'HTTP/1.1 304 Same\r\n\r\n',
  'HTTP/1.1 304 Same\r\nContent-Length: 0\r\n\r\n',
  'HTTP/1.1 204 None\r\n\r\n',
])
  test(`clients share a connection behind ${JSON.stringify(head)}`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t, () => head)
    const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], {
      clock: stillClock(),
    })
    for (let i = 0; i < 3; i++) await (await httpClient(t, gate.port)).get(get())
    t.equal(upstream.connections.length, 1)
  })

for (const when of ['with it', 'behind it'])
  test(`a service that has sent more than a whole answer, ${when}, has no connection that clients share, across a reload`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t, ({ target }) =>
      target === '/odd' && when === 'with it' ? OK + SAME : OK,
    )
    const config = (keys = ''): string[] => [
      `protocol: http, upstream: { addresses: ["127.0.0.1:${upstream.port}"]${keys} }`,
    ]
    const clock = stillClock()
    const gate = await startGate(t, config(), { clock })
    /** Whether two clients by turns get connections that the other has used. */
    const areShared = async (): Promise<boolean> => {
      const [anna, bert] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
      const before = upstream.requests.length
      for (const client of [anna, bert, anna, bert]) await client.get(get())
      for (const client of [anna, bert]) client.wire.end()
      const used = upstream.requests.slice(before).map(({ connection }) => connection)
      return used[0] === used[1] || used[1] === used[2] || used[2] === used[3]
    }
    t.equal(await areShared(), true)
    await (await httpClient(t, gate.port)).get(get('/odd'))
    if (when === 'behind it') await upstream.connections[0]!.write(SAME)
    await within(upstream.connections[0]!.ended)
    t.equal(await areShared(), false)
    t.match(await gate.reload(config(', keepAlive: 3s')), { result: 'success' })
    t.equal(await areShared(), false)
    clock.pass(600_000)
    t.equal(await areShared(), true)
  })
