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

/** Waits until there are at most so many more than at the time of this call. Each look collects the garbage, so there are few. */
function growth(): (kinds: { exchanges: number; searches: number; fields: number }) => Promise<void> {
  const before = [Exchange, Search, Field].map(count)
  return async ({ exchanges, searches, fields }) => {
    for (const [nth, wanted] of [exchanges, searches, fields].entries()) {
      const kind = [Exchange, Search, Field][nth]!
      await eventually(() => Promise.resolve(count(kind) - before[nth]! <= wanted), {
        what: `at most ${wanted} more of ${kind.name}`,
      })
    }
  }
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
  const grown = growth()
  const client = await httpClient(t, gate.port)
  for (const request of requests) {
    const [method] = request.split(' ', 1)
    t.equal((await client.get(request, { method: method! })).status, 200)
    await grown({ exchanges: 0, searches: 0, fields: 0 })
  }
  client.wire.end()
})

test('nor does one whose connection to the service is its own, which stays', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const grown = growth()
  const client = await httpClient(t, gate.port)
  const login = get('/', `${cookies}Authorization: NTLM TlRMTVNTUAAD\r\n`)
  t.equal((await client.get(login)).status, 200)
  // A search knows the place, where a second connection would be dialled.
  await grown({ exchanges: 0, searches: 1, fields: 0 })
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
    const grown = growth()
    const clients = await clientsOf(t, gate.port, get('/events', cookies))
    await upstream.request(CLIENTS - 1)
    await grown({ exchanges: CLIENTS, searches: CLIENTS, fields: 0 })
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
  const grown = growth()
  const answers = await Promise.all(Array.from({ length: CLIENTS }, () => h2Answer(ask('/'))))
  t.ok(answers.every(({ status }) => status === 200))
  await grown({ exchanges: 0, searches: 0, fields: 0 })
  for (let nth = 0; nth < CLIENTS; nth++) ask('/events').on('error', () => {})
  await upstream.request(2 * CLIENTS - 1)
  await grown({ exchanges: CLIENTS, searches: CLIENTS, fields: 0 })
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
