import { test } from 'tap'
import type { Test } from 'tap'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { chunked, get, httpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { authority } from '../support/certificates.ts'
import { refuser } from '../support/peers.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { HttpClient } from '../support/http-peers.ts'

const POST = (target: string): string => get(target, 'Transfer-Encoding: chunked\r\n', 'POST')
const [A, B] = ['a'.repeat(1024), 'b'.repeat(1024)]
const BOUND = 'http: { maxBody: 2KiB }'

interface Waits {
  what: string
  /** A gate that holds a body back, and the call that lets it go on. */
  begin(t: Test, port: number): Promise<{ gate: Gate; letGo: () => unknown }>
}

const waits: Waits[] = [
  {
    what: 'a second address is tried',
    begin: async (t, port) => ({
      gate: await startGate(t, [
        `protocol: http, ${BOUND}, upstream: { addresses: ["127.0.0.1:${refuser(t).port}", "127.0.0.1:${port}"] }`,
      ]),
      letGo: () => {},
    }),
  },
  {
    what: 'a name is not resolved yet',
    begin: async (t, port) => {
      const answer = Promise.withResolvers<string[]>()
      const gate = await startGate(t, [`protocol: http, ${BOUND}, upstream: "service:${port}"`], {
        names: { lookup: () => answer.promise, refreshMs: 10_000 },
      })
      return { gate, letGo: () => answer.resolve(['127.0.0.1']) }
    },
  },
]

for (const { what, begin } of waits) {
  test(`http.maxBody throws nothing away while ${what}: what is within the bound arrives whole, what is over it is a 413`, async (t) => {
    watchLeaks(t)
    watchCrashes(t)
    const upstream = await recordingUpstream(t)
    const { gate, letGo } = await begin(t, upstream.port)
    const [client, over] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
    await client.send(`${POST('/whole')}400\r\n${A}\r\n`)
    await client.send(`400\r\n${B}\r\n0\r\n\r\n`)
    await over.send(`${POST('/over')}${chunked(A, B, 'c')}`)
    t.equal((await over.answer()).status, 413)
    letGo()
    t.equal((await client.answer()).status, 200)
    t.same(
      upstream.requests.map(({ target, body }) => [target, body.toString()]),
      [['/whole', A + B]],
    )
    t.same(
      upstream.problems.filter((problem) => !problem.startsWith('cut')),
      [],
    )
  })
}

test('http.maxBody throws nothing away while a place is waited for', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const answers: Array<() => void> = []
  const upstream = await recordingUpstream(
    t,
    () => new Promise<string>((resolve) => answers.push(() => resolve(OK))),
  )
  const gate = await startGate(t, [
    `protocol: http, ${BOUND}, upstream: { addresses: ["127.0.0.1:${upstream.port}"], maxConnections: 1, queueTimeout: 60s }`,
  ])
  const [first, second] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
  await first.send(get('/first'))
  await upstream.request()
  await second.send(`${POST('/second')}400\r\n${A}\r\n`)
  await second.send(`400\r\n${B}\r\n0\r\n\r\n`)
  answers[0]!()
  t.equal((await first.answer()).status, 200)
  t.equal((await upstream.request(1)).body.toString(), A + B)
  answers[1]!()
  t.equal((await second.answer()).status, 200)
})

test('a body over its bound, or malformed, says nothing complete to the service', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, ${BOUND}, upstream: "127.0.0.1:${upstream.port}"`])
  for (const [body, status] of [
    [chunked(A, B, 'c'), 413],
    [`400\r\n${A}\r\nx\r\n`, 400],
    ['5 \r\nhello\r\n0\r\n\r\n', 400],
  ] as const) {
    const client = await httpClient(t, gate.port)
    t.equal((await client.get(POST('/') + body)).status, status)
  }
  t.same(upstream.requests, [])
})

const MIB = 1024 * 1024

for (const isSecure of [false, true]) {
  test(`a body in chunks of one byte is a 400 before long${isSecure ? ', over TLS too' : ''}; one in small chunks passes`, async (t) => {
    watchLeaks(t)
    watchCrashes(t)
    const upstream = await recordingUpstream(t)
    const ca = authority(t)
    const { cert, key } = ca.issue('server')
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}"${isSecure ? `, tls: { cert: "${cert}", key: "${key}" }` : ''}`,
    ])
    const open = async (): Promise<HttpClient> =>
      isSecure ? new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert })) : httpClient(t, gate.port)
    const guilty = await open()
    void guilty.send(POST('/bytes') + '1\r\nx\r\n'.repeat(MIB))
    const answer = await within(guilty.answer(), { what: 'a 400', withinMs: 20_000 })
    t.same(
      [answer.status, answer.body.toString()],
      [400, 'protocol_error: chunks that are hardly more than their syntax\n'],
    )
    t.match(await gate.end(), { reason: 'protocol_error', side: 'client' })
    const innocents = [
      chunked(...Array<string>(15_000).fill('x')),
      chunked(...Array<string>(40_000).fill('ab')),
    ]
    for (const [nth, body] of innocents.entries()) {
      const innocent = await open()
      t.equal(
        (await innocent.get(POST('/small') + body, {}, { withinMs: 60_000 })).status,
        200,
        `innocent ${nth}`,
      )
    }
    t.same(
      upstream.requests.map(({ target, body }) => [target, body.length]),
      [
        ['/small', 15_000],
        ['/small', 80_000],
      ],
    )
  })
}
