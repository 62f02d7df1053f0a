import { test } from 'tap'
import type { Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { chunked, get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { HttpClient, RecordingUpstream, Respond, Seen } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'

async function path(
  t: Test,
  respond?: Respond,
): Promise<{ gate: Gate; client: HttpClient; upstream: RecordingUpstream }> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  return { gate, upstream, client: await httpClient(t, gate.port) }
}

test('many requests of many clients share upstream connections, without a warning', async (t) => {
  const { upstream, gate } = await path(t)
  const clients = await Promise.all(Array.from({ length: 5 }, () => httpClient(t, gate.port)))
  for (let i = 0; i < 30; i++) await Promise.all(clients.map((client) => client.get(get())))
  t.equal(upstream.requests.length, 150)
  t.ok(upstream.connections.length <= 5, `${upstream.connections.length} connections`)
})

test("an answer that nobody asked for is nobody's: its connection is not used again", async (t) => {
  const { upstream, client } = await path(t)
  t.equal((await client.get(get('/1'))).status, 200)
  await upstream.connections[0]!.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison')
  await upstream.connections[0]!.closed
  t.equal((await client.get(get('/2'))).body.toString(), 'ok')
  t.equal(upstream.connections.length, 2)
})

test("a second answer in the same packet is nobody's", async (t) => {
  const { upstream, client } = await path(t, ({ nth }) =>
    nth === 0 ? `${OK}HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison` : OK,
  )
  for (let i = 0; i < 4; i++) t.equal((await client.get(get())).body.toString(), 'ok')
  t.equal(upstream.connections.length, 4)
})

test('a connection that the upstream announced to close, or keeps for a second only, is not used again', async (t) => {
  const words = ['Connection: close', 'Keep-Alive: timeout=1', 'Keep-Alive: max=5, timeout=0']
  let next = 0
  const { upstream, client } = await path(
    t,
    () => `HTTP/1.1 200 OK\r\n${words[next]}\r\nContent-Length: 2\r\n\r\nok`,
  )
  for (; next < words.length; next++) await client.get(get())
  t.equal(upstream.connections.length, 3)
})

test('a request without a body that met a closing connection is sent once more on a fresh one', async (t) => {
  const { upstream, client } = await path(t, ({ nth, wire }) => {
    if (nth === 0) return OK
    wire.reset()
    return undefined
  })
  t.equal((await client.get(get('/1'))).status, 200)
  t.equal((await client.get(get('/2'))).status, 200, 'GET')
  t.equal((await client.get(get('/3', '', 'DELETE'))).status, 200, 'DELETE')
  t.same(
    upstream.requests.map(({ target, connection }) => [target, connection]),
    [
      ['/1', 0],
      ['/2', 0],
      ['/2', 1],
      ['/3', 1],
      ['/3', 2],
    ],
  )
  t.equal((await client.get(get('/4', '', 'POST'))).status, 200, 'a POST is not tried on a kept one there')
  t.equal(upstream.requests.filter(({ target }) => target === '/4').length, 1)
})

test('a request with a body, or one that failed twice, is not sent again', async (t) => {
  let isDying = false
  const { upstream, client, gate } = await path(t, ({ wire }) => {
    if (!isDying) return OK
    wire.reset()
    return undefined
  })
  await client.get(get())
  isDying = true
  t.equal((await client.get(get('/put', 'Content-Length: 2\r\n', 'PUT') + 'ab')).status, 502)
  isDying = false
  const other = await httpClient(t, gate.port)
  await other.get(get())
  isDying = true
  t.equal((await other.get(get('/twice'))).status, 502)
  t.same(
    upstream.requests.map(({ target }) => target),
    ['/', '/put', '/', '/twice', '/twice'],
  )
})

test('a request of which the kernel took nothing is sent once more, whatever it is, with its body', async (t) => {
  const body = 'x'.repeat(20_000)
  const { upstream, client } = await path(t)
  const requests = [
    get('/post', 'Content-Length: 20000\r\n', 'POST') + body,
    get('/chunked', 'Transfer-Encoding: chunked\r\n', 'PATCH') + chunked(body),
    get('/bare', 'Content-Length: 0\r\n', 'POST'),
  ]
  for (const [nth, request] of requests.entries()) {
    await client.get(get('/before'))
    await eventually(() => upstream.connections.length === nth + 1)
    // Both in one turn: the gate reads the request first, and its write meets the RST.
    void client.send(request)
    upstream.connections[nth]!.reset()
    t.equal((await client.answer()).status, 200)
  }
  const arrived = upstream.requests.filter(({ target }) => target !== '/before')
  t.same(
    arrived.map(({ target, connection, body: { length } }) => [target, connection, length]),
    [
      ['/post', 1, 20_000],
      ['/chunked', 2, 20_000],
      ['/bare', 3, 0],
    ],
  )
  t.same(upstream.problems, [])
})

test('a request that is not sent again says that its connection was used again', async (t) => {
  const { client, gate } = await path(t, ({ nth, wire }) => (nth === 0 ? OK : wire.reset()))
  await client.get(get())
  const answer = await client.get(get('/', 'Content-Length: 2\r\n', 'POST') + 'ab')
  t.equal(answer.status, 502)
  t.match(answer.body.toString(), /^reset: .*, on a connection that had served before\n$/)
  t.match(await gate.end(), { detail: /on a connection that had served before/ })
})

test('a request that failed on a fresh connection, or behind the first byte of an answer, is not sent again', async (t) => {
  const { upstream, client, gate }: Awaited<ReturnType<typeof path>> = await path(
    t,
    async ({ target, wire }) => {
      if (target === '/fine') return OK
      if (target === '/begun') {
        await wire.write('HTTP/1.1 2')
        await eventually(() => gate.open().toClient.received > OK.length, { what: 'the byte' })
      }
      wire.reset()
      return undefined
    },
  )
  t.equal((await client.get(get('/fresh'))).status, 502)
  const other = await httpClient(t, gate.port)
  await other.get(get('/fine'))
  await other.send(get('/begun'))
  await upstream.request(2)
  t.equal((await other.answer()).status, 502)
  t.same(
    upstream.requests.map(({ target }) => target),
    ['/fresh', '/fine', '/begun'],
  )
})

test('an upstream that answered before it had the whole request does not get its connection used again', async (t) => {
  watchLeaks(t)
  const { upstream, client, gate } = await path(t)
  // The recording upstream answers once the body is complete: this one answers at once, on a raw connection.
  const early = await httpClient(t, gate.port)
  t.equal((await client.get(get())).status, 200)
  await early.send(get('/early', 'Content-Length: 50\r\n', 'POST') + 'GET /smuggled HTTP/1.1\r\n')
  const seen = upstream.connections[0]!
  await eventually(() => seen.unread > 0, { what: 'a part of the body' })
  await seen.write('HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno')
  const answer = await early.answer()
  t.same([answer.status, answer.header('connection')], [401, 'close'])
  await seen.closed
  await early.wire.ended
  t.equal((await client.get(get('/next'))).status, 200)
  t.same(
    upstream.requests.map(({ target, connection }) => [target, connection]),
    [
      ['/', 0],
      ['/next', 1],
    ],
  )
})

test('an answer that begins before the request is complete flows beside it', async (t) => {
  const { upstream, gate } = await path(t, () => undefined)
  const echo = await httpClient(t, gate.port)
  await echo.send(get('/', 'Content-Length: 6\r\n', 'POST') + 'abc')
  const seen = await upstream.connection()
  await eventually(() => seen.unread > 0, { what: 'a part of the body' })
  await seen.write('HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc')
  await echo.wire.readUntil('\r\n\r\nabc')
  await echo.send('def')
  await upstream.request()
  await seen.write('def')
  t.equal((await echo.wire.read(3)).toString(), 'def')
})

test('an upstream that keeps its connections for two seconds is not asked on one after the first', async (t) => {
  const { upstream, client } = await path(
    t,
    () => 'HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nok',
  )
  await client.get(get())
  await client.get(get())
  t.equal(upstream.connections.length, 1)
  await upstream.connections[0]!.ended
  await client.get(get())
  t.equal(upstream.connections.length, 2)
})

const user = ({ headers }: Seen): string | null =>
  headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1] ?? null

/** A service that authenticates its connections: it takes all requests on one for those of its user. */
function bySocket(scheme: string): Respond {
  const users = new WeakMap<object, string>()
  return (seen) => {
    const said = user(seen)
    if (said !== null) users.set(seen.wire, said)
    const who = users.get(seen.wire) ?? null
    return who === null
      ? `HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nWWW-Authenticate: ${scheme}\r\nContent-Length: 0\r\n\r\n`
      : `HTTP/1.1 200 OK\r\nContent-Length: ${who.length}\r\n\r\n${who}`
  }
}

for (const scheme of ['NTLM', 'Negotiate', 'negotiate']) {
  test(`a connection that ${scheme} authenticated is its client's alone: nobody else is served as its user`, async (t) => {
    watchLeaks(t)
    watchCrashes(t)
    const respond = bySocket(scheme)
    const upstream = await recordingUpstream(t, respond)
    const twin = await recordingUpstream(t, respond)
    for (const addresses of [[upstream.port], [upstream.port, twin.port]]) {
      const gate = await startGate(
        t,
        [
          `protocol: http, upstream: { addresses: [${addresses.map((port) => `"127.0.0.1:${port}"`).join()}] }`,
        ],
        { clock: stillClock() },
      )
      const [anna, bert] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
      t.equal((await anna.get(get('/'))).status, 401)
      const first = await anna.get(get('/', `Authorization: ${scheme} anna\r\n`))
      t.same([first.status, first.body.toString()], [200, `${scheme} anna`])
      for (let i = 0; i < 5; i++) {
        t.equal((await bert.get(get('/'))).status, 401, 'another client has to say who it is')
        for (let nth = 0; nth < 2; nth++) {
          const again = await anna.get(get('/'))
          t.same(
            [again.status, again.body.toString()],
            [200, `${scheme} anna`],
            'and this one stays who it is',
          )
        }
      }
      anna.wire.end()
      await gate.end()
      t.equal((await bert.get(get('/'))).status, 401)
      await eventually(
        () =>
          [...upstream.connections, ...twin.connections].filter(
            (wire) => wire.outcome === null && !wire.hasEnded,
          ).length <= 1,
        { what: 'its connection to be closed, though it has not idled for long: no time passes' },
      )
      bert.wire.end()
    }
  })
}

test("credentials that are a request's own share connections as ever", async (t) => {
  const { upstream, gate, client } = await path(t)
  const other = await httpClient(t, gate.port)
  for (const one of [client, other, client, other])
    t.equal((await one.get(get('/', 'Authorization: Basic bmVnb3RpYXRl\r\n'))).status, 200)
  t.equal(upstream.connections.length, 1)
})

const POISON = 'HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison'
const chunks = 'Transfer-Encoding: chunked\r\n'
/** Answers that may go on after the end that their head announces; and their innocent twins. */
const heads: Array<[name: string, method: string, head: string, isKept: boolean]> = [
  ['a 204 with a length', 'GET', 'HTTP/1.1 204 None\r\nContent-Length: 51\r\n\r\n', false],
  ['a 204 in chunks', 'GET', `HTTP/1.1 204 None\r\n${chunks}\r\n`, false],
  ['a 205 that says nothing of its end', 'GET', 'HTTP/1.1 205 Reset\r\n\r\n', false],
  ['a HEAD with two framings', 'HEAD', `HTTP/1.1 200 OK\r\nContent-Length: 51\r\n${chunks}\r\n`, false],
  ['a HEAD with a length that is none', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n', false],
  ['a 304 with two framings', 'GET', `HTTP/1.1 304 Same\r\nContent-Length: 51\r\n${chunks}\r\n`, false],
  [
    'a 304 with two lengths',
    'GET',
    'HTTP/1.1 304 Same\r\nContent-Length: 51\r\nContent-Length: 51\r\n\r\n',
    false,
  ],
  ['a plain 204', 'GET', 'HTTP/1.1 204 None\r\n\r\n', true],
  ['a 204 with a length of 0', 'GET', 'HTTP/1.1 204 None\r\nContent-Length: 0\r\n\r\n', true],
  ['a 205 with a length of 0', 'GET', 'HTTP/1.1 205 Reset\r\nContent-Length: 0\r\n\r\n', true],
  ['a HEAD that says the length of a GET', 'HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n', true],
  ['a HEAD that says chunks', 'HEAD', `HTTP/1.1 200 OK\r\n${chunks}\r\n`, true],
  ['a 304 that says the length of a 200', 'GET', 'HTTP/1.1 304 Same\r\nContent-Length: 51\r\n\r\n', true],
  [
    'an answer behind 900 interim ones',
    'GET',
    `${'HTTP/1.1 103 Early\r\n\r\n'.repeat(900)}HTTP/1.1 204 None\r\n\r\n`,
    true,
  ],
]

for (const [name, method, head, isKept] of heads) {
  test(`behind ${name} ${isKept ? 'the next request is served on the same connection' : 'nobody is served: a body may come late, and be taken for the next answer'}`, async (t) => {
    const { upstream, client } = await path(t, async ({ target, connection }) => {
      if (target === '/odd') return head
      if (connection > 0 || isKept) return OK
      return POISON
    })
    await client.get(get('/odd', '', method), { method })
    const next = await client.get(get('/next'))
    t.same([next.status, next.body.toString()], [200, 'ok'])
    t.equal(upstream.connections.length, isKept ? 1 : 2)
  })
}

for (const [method, head] of [
  ['HEAD', 'HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n'],
  ['GET', 'HTTP/1.1 304 Same\r\n\r\n'],
  ['GET', 'HTTP/1.1 204 None\r\n\r\n'],
] as const) {
  for (const isLate of [false, true]) {
    test(`a body that comes ${isLate ? 'behind' : 'with'} ${method === 'HEAD' ? 'the answer to a HEAD' : `a ${head.slice(9, 12)}`} ends its connection`, async (t) => {
      const { upstream, client } = await path(t, ({ target }) =>
        target === '/odd' ? head + (isLate ? '' : POISON) : OK,
      )
      await client.get(get('/odd', '', method), { method })
      if (isLate) await upstream.connections[0]!.write(POISON)
      await upstream.connections[0]!.ended
      const next = await client.get(get('/next'))
      t.same([next.status, next.body.toString(), upstream.connections.length], [200, 'ok', 2])
    })
  }
}

test('an interim answer announces no body to the client, and the answer behind it is the answer', async (t) => {
  const { client } = await path(
    t,
    () => `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 38\r\n\r\n${OK}`,
  )
  await client.send(get())
  const interim = (await client.wire.readUntil('\r\n\r\n')).toString()
  t.equal(interim, 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n')
  t.equal((await client.answer()).body.toString(), 'ok')
})
