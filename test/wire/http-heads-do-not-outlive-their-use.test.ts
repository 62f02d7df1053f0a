// What a connection keeps of the heads that have passed it: nothing between two requests, and nothing of the present one
// once the service has it and no second attempt can follow. A head may have 16 KiB of cookies, and a client may be idle, wait for a
// long poll or read events for hours.

import type { Test } from 'tap'
import { test } from 'tap'
import { queryObjects } from 'node:v8'
import { Exchange } from '../../src/http1/exchange.ts'
import { Field } from '../../src/http1/fields.ts'
import { Search } from '../../src/upstream/search.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { chunked, get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import type { HttpClient, Respond } from '../support/http-peers.ts'
import { h2Answer, h2Connect } from '../support/h2-client.ts'
import { watchLeaks } from '../support/leaks.ts'

const CLIENTS = 5
const cookies = `Cookie: ${'c'.repeat(4000)}\r\n`
const count = (kind: abstract new (...given: never[]) => unknown): number =>
  queryObjects(kind, { format: 'count' })

const before = { fields: count(Field), exchanges: count(Exchange), searches: count(Search) }
/** Sweeps, which the heads wait for, come as often. */
const EVERY_MS = 250

/**
 * Waits until there are at most so many of each, but for those that came with the program: the gates of other tests are gone. A look
 * collects all garbage and walks the heap, a fifth of a second of the processor.
 */
async function atMost(exchanges: number, searches: number, fields: number): Promise<void> {
  const wanted = [
    [Field, before.fields + fields],
    [Exchange, before.exchanges + exchanges],
    [Search, before.searches + searches],
  ] as const
  for (const [kind, most] of wanted)
    await eventually(() => count(kind) <= most, {
      what: `at most ${most} of ${kind.name}`,
      everyMs: EVERY_MS,
    })
}

async function clientsOf(t: Test, port: number, request: string): Promise<HttpClient[]> {
  return Promise.all(
    Array.from({ length: CLIENTS }, async () => {
      const client = await httpClient(t, port)
      await client.send(request)
      return client
    }),
  )
}

const requests = [
  get('/', cookies),
  get('/', cookies, 'HEAD'),
  `${get('/', `${cookies}Content-Length: 3\r\n`, 'POST')}abc`,
  `${get('/', `${cookies}Transfer-Encoding: chunked\r\n`, 'POST')}${chunked('abc', 'def')}`,
]

test('no request leaves a head with its idle client', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const clients = await Promise.all(
    requests.map(async (request) => {
      const client = await httpClient(t, gate.port)
      const [method] = request.split(' ', 1)
      t.equal((await client.get(request, { method: method! })).status, 200)
      return client
    }),
  )
  await atMost(0, 0, 0)
  for (const { wire } of clients) wire.end()
})

test('nor does one whose connection to the service is its own, which stays', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  const login = get('/', `${cookies}Authorization: NTLM TlRMTVNTUAAD\r\n`)
  t.equal((await client.get(login)).status, 200)
  // A search knows the place, where a second connection would be dialled.
  await atMost(0, 1, 0)
  upstream.requests[0]!.wire.end()
  client.wire.end()
})

const lasting: Record<string, Respond> = {
  'a long poll': () => undefined,
  'a stream of events': ({ wire }) =>
    void wire.write(
      'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n',
    ),
}

for (const [name, respond] of Object.entries(lasting))
  test(`${name} keeps no head for as long as it takes`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t, respond)
    const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
    const clients = await clientsOf(t, gate.port, get('/events', cookies))
    await upstream.request(CLIENTS - 1)
    await atMost(CLIENTS, CLIENTS, 0)
    for (const client of clients) client.wire.reset()
  })

test('streams of HTTP/2 keep their heads no longer', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, (seen) =>
    seen.target === '/events' ? lasting['a stream of events']!(seen) : OK,
  )
  const gate = await startGate(t, [
    `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  const session = await h2Connect(t, gate.port)
  const ask = (path: string) => session.request({ ':path': path, cookie: 'c'.repeat(4000) })
  const answers = await Promise.all(Array.from({ length: CLIENTS }, () => h2Answer(ask('/'))))
  t.ok(answers.every(({ status }) => status === 200))
  await atMost(0, 0, 0)
  for (let nth = 0; nth < CLIENTS; nth++) ask('/events').on('error', () => {})
  await upstream.request(2 * CLIENTS - 1)
  await atMost(CLIENTS, CLIENTS, 0)
  session.destroy()
})

test('a request on a kept connection keeps its head until it is answered, since it may have to be sent again', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, ({ target, nth, wire }) => {
    if (target === '/first') return OK
    // The kept connection ends a while after it took the request.
    if (nth > 0) return void setTimeout(() => wire.end(), 1500)
    return OK
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  await client.send(get('/first'))
  t.equal((await client.answer()).status, 200)
  await client.send(get('/second', cookies))
  t.equal((await client.answer()).status, 200)
  const [first, again] = upstream.requests.filter(({ target }) => target === '/second')
  t.same(again!.headers, first!.headers)
  client.wire.end()
})
