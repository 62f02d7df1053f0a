// Health checks, logins that hold for a connection, and client certificates while memory runs short.

import root, { test } from 'tap'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { readSamples } from '../metrics/samples.ts'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { get, httpClient, HttpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { overload, recover } from '../support/overload.ts'
import { connect, echo } from '../support/peers.ts'
import { clientHello, tlsConnect } from '../support/tls-peers.ts'

root.setTimeout(120_000)
const ca = authority(root)
const app = ca.issue('app')
const clients = authority(root, 'clients')
const known = clients.issue('known')

const rejected = async (gate: Gate, reason: string): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_connections_rejected_total', { listener: 'l0', reason })

/** How many addresses are in that state. */
const found = async (gate: Gate, state: string): Promise<number | undefined> =>
  readSamples(await gate.metrics()).get('sidegate_upstream_targets', { listener: 'l0', state })

test('healthCheck: addresses are checked all the while, and who is refused then is overloaded, not without an upstream', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  let status = 200
  const server = createServer((request, response) => {
    if (request.url === '/healthz') response.writeHead(status)
    response.end('ok')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: { addresses: ["127.0.0.1:${port}"], healthCheck: { type: http, path: /healthz, interval: 100ms, healthy: 2, unhealthy: 2 } }`,
    ],
    { memory },
  )
  const kept = await httpClient(t, gate.port)
  t.equal((await kept.get(get())).status, 200)
  await overload(gate, memory)
  status = 500
  await eventually(async () => (await found(gate, 'unhealthy')) === 1, { what: 'it to be found ill' })
  for (const client of [await httpClient(t, gate.port), await httpClient(t, gate.port)])
    t.match(String((await client.get(get())).body), /^overloaded/)
  status = 200
  await eventually(async () => (await found(gate, 'healthy')) === 1, { what: 'it to be found well' })
  await recover(gate, memory)
  t.equal((await (await httpClient(t, gate.port)).get(get())).status, 200)
})

test('logins: a client whose login is refused for want of memory is logged out, and its connection is nobody else’s', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const users = new Map<number, string>()
  const upstream = await recordingUpstream(t, ({ connection, header }) => {
    const [, user] = /^NTLM (\w+)$/.exec(header('authorization') ?? '') ?? []
    if (user === 'begin')
      return 'HTTP/1.1 401 No\r\nWWW-Authenticate: NTLM challenge\r\nContent-Length: 0\r\n\r\n'
    if (user !== undefined) users.set(connection, user)
    const now = users.get(connection) ?? 'nobody'
    return `HTTP/1.1 200 OK\r\nContent-Length: ${now.length}\r\n\r\n${now}`
  })
  const gate = await startGate(
    t,
    [`protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${upstream.port}"`],
    { memory },
  )
  const login = (words: string): string => get('/', `Authorization: NTLM ${words}\r\n`)
  const [anna, bert] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  t.equal(String((await anna.get(login('anna'))).body), 'anna')
  t.equal((await bert.get(login('begin'))).status, 401)
  await overload(gate, memory)
  t.equal(String((await anna.get(get())).status), '503')
  const { status, header } = await bert.get(login('bert'))
  t.same([status, header('connection'), header('www-authenticate')], [503, 'close', null])
  for (const { wire } of [anna, bert]) {
    await wire.ended
    wire.end()
  }
  await eventually(
    () => upstream.connections.every(({ hasEnded, outcome }) => hasEnded || outcome !== null),
    {
      what: 'the ends of what they had logged in',
    },
  )
  await recover(gate, memory)
  const session = await h2Connect(t, gate.port)
  for (const ask of [
    async () => String((await (await httpClient(t, gate.port)).get(get())).body),
    async () => (await h2Ask(session)).body,
  ])
    t.equal(await ask(), 'nobody')
  const again = await httpClient(t, gate.port)
  t.equal(String((await again.get(login('bert'))).body), 'bert')
})

const tls = `tls: { cert: "${app.cert}", key: "${app.key}", clientCa: "${clients.cert}" }`

test('clientCa: past memory.refuseAt no handshake begins; one that has begun is finished, and what would follow is refused', async (t) => {
  watchLeaks(t)
  const memory = testMemory()
  const [bytes, upstream] = [await echo(t), await recordingUpstream(t, () => OK)]
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${bytes.port}", ${tls}`,
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${tls}`,
    ],
    { memory },
  )
  const [tcp, http] = gate.ports
  const trusted = { ca: ca.cert, client: known }
  const inside = await tlsConnect(t, tcp!, trusted)
  await inside.write('?')
  t.equal(String(await inside.read(1)), '?')
  const pending = async (listener: string): Promise<number | undefined> =>
    readSamples(await gate.metrics()).get('sidegate_connections_pending', { listener })
  // They connect now, and begin their handshakes once memory is short.
  const isShort = Promise.withResolvers<void>()
  const late = { ...trusted, after: isShort.promise }
  const coming = [tlsConnect(t, tcp!, late), tlsConnect(t, http!, late)] as const
  await eventually(async () => (await pending('l0')) === 1 && (await pending('l1')) === 1)
  void tlsConnect(t, tcp!, { ca: ca.cert, after: isShort.promise }).catch(() => {})
  await eventually(async () => (await pending('l0')) === 2)
  await overload(gate, memory)
  const hello = await connect(t, tcp!).catch(() => null)
  void hello?.write(await clientHello(t))
  if (hello !== null) t.match(await within(hello.closed), { kind: 'reset' })
  t.equal(await rejected(gate, 'overloaded'), 1)
  isShort.resolve()
  const reset = await coming[0].catch(() => null)
  if (reset !== null) t.match(await within(reset.closed), { kind: 'reset' })
  const answer = await new HttpClient(await coming[1]).get(get())
  t.match([answer.status, String(answer.body)], [503, /^overloaded/])
  await eventually(async () => (await rejected(gate, 'denied')) === 1)
  t.equal(bytes.connections.length, 1)
  void inside.write('!')
  t.equal(String(await inside.read(1)), '!', 'and who is in goes on')
  await recover(gate, memory)
  const after = await tlsConnect(t, tcp!, trusted)
  void after.write('?')
  t.equal(String(await after.read(1)), '?')
})
