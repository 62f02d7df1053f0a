// A login of NTLM or Negotiate takes three requests on one connection (RFC 4559): one that asks for it, one that gets
// the challenge, one that responds to it. A drain that still accepts clients, and ends each connection behind its next
// answer, is not to end it between the challenge and the response: no login would succeed until the last client is gone.

import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, isSettled, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import type { HttpClient, RecordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { requestRaw, parseAnswer } from '../support/http.ts'

const asks = (challenge: string): string =>
  `HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: ${challenge}\r\nContent-Length: 0\r\n\r\n`

/** It knows a user only by the response to the challenge that it gave on the same connection. */
async function service(t: Test, scheme = 'NTLM'): Promise<RecordingUpstream> {
  const users = new Map<number, string>()
  const challenged = new Set<number>()
  return recordingUpstream(t, ({ connection, header }) => {
    const [, word] = new RegExp(`^${scheme} (.+)$`).exec(header('authorization') ?? '') ?? []
    if (word === 'begin') {
      challenged.add(connection)
      return asks(`${scheme} for${connection}`)
    }
    if (word === `to${connection}` && challenged.has(connection)) users.set(connection, 'anna')
    const user = users.get(connection)
    return user === undefined ? asks(scheme) : `HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n${user}`
  })
}

const authorized = (words: string): string => get('/', `Authorization: ${words}\r\n`)

/** Begins a login, and returns the response to the challenge that came. */
async function begin(client: HttpClient, scheme = 'NTLM'): Promise<string> {
  const { status, header } = await client.get(authorized(`${scheme} begin`))
  const [, connection] = /for(\d+)$/.exec(header('www-authenticate') ?? '') ?? []
  if (status !== 401 || connection === undefined) throw new Error(`no challenge, but ${status}`)
  if (header('connection') === 'close') throw new Error('the challenge ends the connection')
  return authorized(`${scheme} to${connection}`)
}

const path = async (t: Test, upstream: { port: number }, keys = '', top = ''): Promise<Gate> => {
  watchLeaks(t)
  return startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"${keys}`], {}, top)
}

for (const scheme of ['NTLM', 'Negotiate'])
  test(`${scheme}: a client that comes while a drain still accepts logs in, and then goes`, async (t) => {
    const gate = await path(t, await service(t, scheme))
    const drained = gate.operator.drain('admin', { minDurationMs: 60_000, timeoutMs: 120_000 })
    const client = await httpClient(t, gate.port)
    const { status, header } = await client.get(get())
    t.same([status, header('connection')], [401, 'close'], 'nothing has begun yet')
    await client.wire.ended
    client.wire.end()
    const again = await httpClient(t, gate.port)
    const answer = await again.get(await begin(again, scheme))
    t.same([answer.status, String(answer.body), answer.header('connection')], [200, 'anna', 'close'])
    await again.wire.ended
    again.wire.end()
    t.ok(gate.operator.undrain())
    await drained
  })

test('a client that a drain asks to go in the middle of its login goes with the next answer', async (t) => {
  const gate = await path(t, await service(t))
  const client = await httpClient(t, gate.port)
  const response = await begin(client)
  const drained = gate.drain(30_000)
  await eventually(() => [...gate.registry][0]?.timeline?.lines.some(({ event }) => event === 'postponed'))
  t.equal(await isSettled(drained), false)
  t.match(await client.get(response), { status: 200 })
  await client.wire.ended
  client.wire.end()
  t.match(await drained, { drained: 1, forced: 0, cut: 0 })
})

test('one that never responds goes after deadlines.handshake', async (t) => {
  const gate = await path(t, await service(t), ', deadlines: { handshake: 500ms }')
  const client = await httpClient(t, gate.port)
  await begin(client)
  const drained = gate.drain(30_000)
  t.equal(await within(client.wire.ended), true)
  client.wire.end()
  t.match(await gate.end(), { reason: 'drain' })
  t.match(await drained, { drained: 1, forced: 0, cut: 0 })
})

test('a client that wants its connection closed has it closed at a challenge too', async (t) => {
  const gate = await path(t, await service(t))
  const drained = gate.operator.drain('admin', { minDurationMs: 60_000, timeoutMs: 120_000 })
  const { bytes } = await requestRaw(
    t,
    gate.port,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: NTLM begin\r\n\r\n',
  )
  t.equal(parseAnswer(bytes).header('connection'), 'close')
  t.ok(gate.operator.undrain())
  await drained
})

test('a login in the middle keeps its place under maxConnections, although others wait for one', async (t) => {
  const upstream = await service(t)
  watchLeaks(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: { maxConnections: 1, queueTimeout: 1h, addresses: ["127.0.0.1:${upstream.port}"] }`,
  ])
  const client = await httpClient(t, gate.port)
  const response = await begin(client)
  const other = await httpClient(t, gate.port)
  await other.send(get())
  await eventually(async () => (await gate.metrics()).includes('sidegate_upstream_queued{listener="l0"} 1'))
  let sweeps = 0
  const timer = setInterval(() => sweeps++, 100)
  t.teardown(() => clearInterval(timer))
  await eventually(() => sweeps > 10)
  t.equal(String((await client.get(response)).body), 'anna')
  t.equal((await other.answer()).status, 401, 'now that the other is logged in')
})
