import { test } from 'tap'
import type { Test } from 'tap'
import { startGate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { Respond } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

async function path(t: Test, lenient: string, respond?: Respond) {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, respond)
  const gate = await startGate(t, [
    `protocol: http, http: { lenient: ${lenient} }, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  return { upstream, gate, client: await httpClient(t, gate.port) }
}

/** HAProxy 2.6 and nginx 1.22 pass all of them. */
const loose: Array<[name: string, answer: string, status: number, body: string, method?: string]> = [
  ['lines that end with LF alone', 'HTTP/1.1 200 OK\nContent-Length: 2\nX: y\n\nok', 200, 'ok'],
  ['empty lines of LF alone before it', '\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok', 200, 'ok'],
  ['an empty line that ends with LF alone', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok', 200, 'ok'],
  ['the same length twice', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
  [
    'a chunk size with blanks behind it',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2  \r\nok\r\n0   \r\n\r\n',
    200,
    'ok',
  ],
  [
    'an answer to HEAD with both framings',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
    200,
    '',
    'HEAD',
  ],
  [
    'a 304 with both framings',
    'HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n',
    304,
    '',
  ],
  [
    'chunks in HTTP/1.0',
    'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    200,
    'ok',
  ],
  [
    'a Connection that lists its length',
    'HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 2\r\n\r\nok',
    200,
    'ok',
  ],
  [
    'a Connection that lists a cookie, behind an interim answer with one',
    'HTTP/1.1 103 Early\r\nConnection: Via\r\n\r\nHTTP/1.1 200 OK\r\nConnection: keep-alive, Set-Cookie\r\nSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok',
    200,
    'ok',
  ],
  ['a reason that may not be written', 'HTTP/1.1 200 a\x7fb\r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
]
/** For any request: each answer has only one reading. */
const fine: typeof loose = [
  ['a reason with high bytes', 'HTTP/1.1 404 Pas trouv\xe9\r\nContent-Length: 2\r\n\r\nno', 404, 'no'],
  ['no reason', 'HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
  ['a status line without the space', 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok', 200, 'ok'],
  [
    'zeros before a chunk size',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0002\r\nok\r\n0000\r\n\r\n',
    200,
    'ok',
  ],
]
const ambiguous: Array<[name: string, answer: string]> = [
  [
    'length and chunks together',
    'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
  ],
  ['lengths that differ', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok'],
  ['lengths in a list', 'HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok'],
  ['a bare CR', 'HTTP/1.1 200 OK\r\nContent-Length: 2\rX: y\r\n\r\nok'],
  ['a folded length', 'HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok'],
  ...['000 X', '099 X', '20 OK', '2000 OK', '200\tOK', '', ' 200 OK'].map((status): [string, string] => [
    `the status ${JSON.stringify(status)}`,
    `HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nok`,
  ]),
  ...[
    '',
    'chunked,',
    ',chunked',
    'identity',
    'chunked, chunked',
    'chunked\r\nTransfer-Encoding: chunked',
  ].flatMap((coding): Array<[string, string]> => [
    [`the coding ${coding}`, `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n2\r\nok\r\n0\r\n\r\n`],
    [
      `the coding ${coding} beside a length`,
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\nContent-Length: 2\r\n\r\nok`,
    ],
  ]),
  ['a first chunk that is none', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nok\r\n0\r\n\r\n'],
]

for (const lenient of ['off', 'upstream', 'both'] as const) {
  test(`of what services say, http.lenient: ${lenient} ${lenient === 'off' ? 'refuses what is loose' : 'passes what is loose'}, and what could be read as two messages is a 502`, async (t) => {
    let next = ''
    const { gate } = await path(t, lenient, () => next)
    for (const [name, answer, status, body, method = 'GET'] of [...loose, ...fine]) {
      next = answer
      const isPassed = lenient !== 'off' || fine.some(([one]) => one === name)
      const client = await httpClient(t, gate.port)
      const got = await client.get(get('/', '', method), { method })
      t.equal(got.status, isPassed ? status : 502, name)
      if (isPassed && method !== 'HEAD') t.equal(got.body.toString(), body, name)
      if (isPassed && answer.includes('Set-Cookie: '))
        t.same([got.interim, got.header('set-cookie')], [[103], 'a=b'], name)
      if (isPassed)
        t.ok((got.header('content-length') ?? '').split(',').length === 1, `${name}: one length at the most`)
      client.wire.end()
    }
    for (const [name, answer] of ambiguous) {
      next = answer
      const { status, body } = parseAnswer((await requestRaw(t, gate.port, get())).bytes)
      t.equal(status, 502, name)
      t.match(body.toString(), /^protocol_error: (?!HPE).* at byte \d+.*: expected /, name)
    }
  })
}

test('a connection on which HTTP/1.0 came in chunks is not used again', async (t) => {
  const { client, upstream } = await path(
    t,
    'upstream',
    () =>
      'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
  )
  for (let i = 0; i < 2; i++) t.equal((await client.get(get())).body.toString(), 'ok')
  t.same(
    upstream.requests.map(({ connection }) => connection),
    [0, 1],
  )
})

const looseRequests = [
  `GET /lf HTTP/1.1\nHost: a\n\n`,
  `GET /mixed HTTP/1.1\r\nHost: a\n\r\n`,
  `\n\n\r\n\nGET /empty HTTP/1.1\nHost: a\n\n`,
]
for (const place of ['first', 'later'] as const) {
  test(`a ${place} head of a client that ends its lines with LF alone is a 400 at once, and passes with http.lenient: both`, async (t) => {
    for (const lenient of ['upstream', 'both'] as const) {
      const { gate, upstream } = await path(t, lenient, () => OK)
      for (const head of looseRequests) {
        const client = await httpClient(t, gate.port)
        if (place === 'later') await client.get(get('/before'))
        t.equal((await client.get(head)).status, lenient === 'both' ? 200 : 400, `${lenient} ${head}`)
        client.wire.end()
      }
      t.equal(
        upstream.requests.filter(({ target }) => target !== '/before').length,
        lenient === 'both' ? looseRequests.length : 0,
      )
      t.same(upstream.problems, [])
    }
  })
}
