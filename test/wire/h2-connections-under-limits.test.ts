import net from 'node:net'
import { once } from 'node:events'
import http2 from 'node:http2'
import type { ClientHttp2Session } from 'node:http2'
import { readFileSync } from 'node:fs'
import { test, type Test } from 'tap'
import type { Clock } from '../../src/core/clock.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Answer, h2Ask, h2Comes, readMetrics } from '../support/h2-client.ts'
import { websocketHead } from '../support/h2-wire.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'

/** Streams that a client opens at once on each of its connections. */
const STREAMS = 20

interface Scene {
  gate: Gate
  /** A connection of that client, once all of its streams have answers; null if the gate refused it. */
  comes(from?: string): Promise<ClientHttp2Session | null>
  rejected(reason: string): Promise<number>
}

async function scene(
  t: Test,
  keys: string,
  { isSecure = false, ...parts }: { isSecure?: boolean; clock?: Clock } = {},
): Promise<Scene> {
  const port = await httpService(t, (_request, response) => void response.end('served'))
  const ca = isSecure ? authority(t) : null
  const server = ca?.issue('server')
  const how =
    server === undefined ? 'http: { h2c: on }' : `tls: { cert: "${server.cert}", key: "${server.key}" }`
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${port}", ${how}, ${keys}`], parts)
  const secure = ca === null ? {} : { ca: readFileSync(ca.cert) }
  const url = `${ca === null ? 'http' : 'https'}://localhost:${gate.port}`
  const comes = (localAddress = '127.0.0.1'): Promise<ClientHttp2Session | null> =>
    h2Comes(t, url, STREAMS, { ...secure, host: '127.0.0.1', localAddress, family: 4 })
  const rejected = async (reason: string): Promise<number> =>
    readMetrics(await gate.metrics())(`sidegate_connections_rejected_total{listener="l0",reason="${reason}"}`)
  return { gate, comes, rejected }
}

const count = (sessions: Array<ClientHttp2Session | null>): number =>
  sessions.filter((session) => session !== null).length

test('limits.connections counts connections, whatever streams they have, and a place comes back with the connection', async (t) => {
  watchLeaks(t)
  const { gate, comes, rejected } = await scene(t, 'limits: { connections: 2 }')
  const [one] = [await comes(), await comes()]
  t.equal(await comes('127.0.0.2'), null)
  t.equal(await rejected('too_many'), 1)
  one!.close()
  await eventually(() => gate.lines.some(({ protocol }) => protocol === 'h2'))
  t.not(await comes('127.0.0.2'), null)
})

for (const isSecure of [false, true])
  test(`limits.connectionsPerClient counts connections of each client, ${isSecure ? 'over TLS' : 'in the clear'}`, async (t) => {
    watchLeaks(t)
    const { gate, comes, rejected } = await scene(t, 'limits: { connectionsPerClient: 2 }', { isSecure })
    const [one] = [await comes(), await comes()]
    t.equal(await comes(), null)
    t.not(await comes('127.0.0.2'), null, 'another client')
    t.equal(await rejected('too_many'), 1)
    one!.close()
    await eventually(() => gate.lines.some(({ protocol }) => protocol === 'h2'))
    t.not(await comes(), null)
  })

for (const per of ['client', 'listener'] as const)
  test(`newConnections per ${per}, onExceed close: streams cost nothing, the connection over the burst is rate_limited`, async (t) => {
    watchLeaks(t)
    const rule = `{ rate: 1, burst: 2, per: ${per}, onExceed: close }`
    const { comes, rejected } = await scene(t, `limits: { newConnections: ${rule} }`, { clock: stillClock() })
    const [one] = [await comes(), await comes()]
    t.equal(await comes(), null)
    t.equal(await rejected('rate_limited'), 1)
    t.equal((await comes('127.0.0.2')) === null, per === 'listener', 'another client')
    t.match(await h2Ask(one!), { status: 200 }, 'the connections that are there go on')
  })

test('newConnections, onExceed delay: a connection over the burst waits for its turn, and the streams of others do not', async (t) => {
  watchLeaks(t)
  const { comes } = await scene(t, 'limits: { newConnections: { rate: 2, burst: 1, onExceed: delay } }')
  // The bucket fills from the first request on.
  const begin = performance.now()
  const first = await comes()
  let isServed = false
  const others = Promise.all([comes(), comes(), comes()]).finally(() => (isServed = true))
  await h2Ask(first!)
  t.notOk(isServed, 'a stream of a connection that is there does not wait for them')
  t.equal(count(await others), 3)
  t.ok(performance.now() - begin > 1350, 'three connections at two a second')
})

test('access: a client that is denied has no connection, one that is allowed has all its streams', async (t) => {
  watchLeaks(t)
  const { comes, rejected } = await scene(t, 'access: { allow: [127.0.0.0/30], deny: [127.0.0.2] }')
  t.equal(await comes('127.0.0.2'), null)
  t.equal(await comes('127.0.0.9'), null)
  t.not(await comes('127.0.0.1'), null)
  t.equal(await rejected('denied'), 2)
})

test('of a peer that names its clients, streams are of the clients that it names: a limit for each, on one connection', async (t) => {
  watchLeaks(t)
  const held: Array<{ end(text: string): unknown }> = []
  const port = await httpService(t, (_request, response) => void held.push(response))
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${port}", http: { h2c: on, trustForwarded: [127.0.0.0/8] }, limits: { connectionsPerClient: 2 }, access: { deny: [10.6.6.6] }`,
  ])
  const session = http2.connect(`http://127.0.0.1:${gate.port}`)
  t.teardown(() => session.destroy())
  const of = (client: string) => h2Ask(session, { 'x-forwarded-for': client })
  const one = [of('10.1.1.1'), of('10.1.1.1')]
  const other = of('10.2.2.2')
  await eventually(() => held.length === 3)
  t.match(await of('10.1.1.1'), { status: 503, body: /^too_many/ })
  const upgrade = session.request(websocketHead({ 'x-forwarded-for': '10.1.1.1' }), { endStream: false })
  t.match(await h2Answer(upgrade), { status: 503, body: /^too_many/ })
  t.match(await of('10.6.6.6'), { status: 403 })
  for (const response of held.splice(0)) response.end('served')
  for (const { status } of await Promise.all([...one, other])) t.equal(status, 200)
  const again = of('10.1.1.1')
  await eventually(() => held.length === 1)
  held[0]!.end('served')
  t.match(await again, { status: 200 }, 'a place comes back with its stream')
})

test('newConnections per client, of a peer that names its clients: each stream counts as a connection of its client', async (t) => {
  watchLeaks(t)
  const port = await httpService(t, (_request, response) => void response.end('served'))
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: "127.0.0.1:${port}", http: { h2c: on, trustForwarded: [127.0.0.0/8] }, limits: { newConnections: { rate: 1, burst: 2, per: client, onExceed: close } }`,
    ],
    { clock: stillClock() },
  )
  const session = http2.connect(`http://127.0.0.1:${gate.port}`)
  t.teardown(() => session.destroy())
  const statuses: number[] = []
  for (let nth = 0; nth < 4; nth++)
    statuses.push((await h2Ask(session, { 'x-forwarded-for': '10.1.1.1' })).status)
  t.same(statuses.slice(0, 2), [200, 200])
  t.equal(statuses.at(-1), 429)
  t.match(await h2Ask(session, { 'x-forwarded-for': '10.2.2.2' }), { status: 200 })
})

test('a client that comes as HTTP/1.1 and one that comes as HTTP/2 share the places', async (t) => {
  watchLeaks(t)
  const { comes, gate } = await scene(t, 'limits: { connections: 2 }')
  const plain = net.connect(gate.port, '127.0.0.1')
  t.teardown(() => plain.destroy())
  plain.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await within(once(plain, 'data'))
  t.not(await comes(), null)
  t.equal(await comes(), null)
})
