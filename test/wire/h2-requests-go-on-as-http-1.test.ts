import type { RequestListener } from 'node:http'
import { test } from 'tap'
import { authority } from '../support/certificates.ts'
import { startGate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { kinds } from '../support/h2-frames.ts'
import { rawH2 } from '../support/h2-raw.ts'
import { httpService } from '../support/http-service.ts'
import { watchLeaks } from '../support/leaks.ts'

const told: RequestListener = (request, response) => {
  let body = ''
  request.on('data', (chunk: Buffer) => (body += chunk.toString()))
  request.on('end', () => {
    const { method, url, rawHeaders, trailers } = request
    response.setHeader('x-answer', ['one', 'two'])
    response.end(JSON.stringify({ method, url, headers: rawHeaders, body, trailers }))
  })
}

test('a GET by prior knowledge', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${await httpService(t, told)}", http: { h2c: on }`,
  ])
  const session = await h2Connect(t, gate.port)
  const answer = await h2Ask(session, { ':path': '/a?b', 'x-b': 'c' })
  t.match(answer, { status: 200, code: 0, headers: { 'x-answer': 'one, two' } })
  t.match(JSON.parse(answer.body), { method: 'GET', url: '/a?b' })
  session.close()
  t.match(await gate.end(0), { reason: 'eof', line: { protocol: 'http' } })
  t.match(await gate.end(1), { reason: 'eof', line: { protocol: 'h2' } })
})

test('the words of trailers: what its client takes, and what the service announces and sends', async (t) => {
  watchLeaks(t)
  const service = await httpService(t, (request, response) => {
    response.setHeader('trailer', 'x-sum')
    response.write(String(request.headers['te']))
    response.addTrailers({ 'x-sum': '1' })
    response.end()
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${service}", http: { h2c: on }`])
  const session = await h2Connect(t, gate.port)
  for (const te of ['trailers', null]) {
    const answer = await h2Ask(session, te === null ? {} : { te })
    t.match(answer, { status: 200, headers: { trailer: 'x-sum' }, body: String(te ?? undefined) })
  }
  session.close()
})

test('a GET over TLS, by ALPN', async (t) => {
  watchLeaks(t)
  const ca = authority(t)
  const { cert, key } = ca.issue('server')
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${await httpService(t, told)}", tls: { cert: "${cert}", key: "${key}" }`,
  ])
  const session = await h2Connect(t, gate.port, { ca: ca.cert })
  const answer = await h2Ask(session, { ':path': '/' })
  t.match(answer, { status: 200, code: 0 })
  session.close()
  t.match(await gate.end(1), { reason: 'eof', line: { protocol: 'h2' } })
})

test('a body with and without a length', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${await httpService(t, told)}", http: { h2c: on }`,
  ])
  const session = await h2Connect(t, gate.port)
  const counted = await h2Ask(session, { ':method': 'POST', 'content-length': '5' }, 'hello')
  t.match(JSON.parse(counted.body), { body: 'hello' })
  const chunked = await h2Ask(session, { ':method': 'POST' }, 'x'.repeat(200_000))
  t.equal((JSON.parse(chunked.body) as { body: string }).body.length, 200_000)
  session.close()
  await gate.end(2)
})

for (const bytes of [5, 16_384, 20_000])
  test(`the last DATA of an answer of ${bytes} bytes tells its end, and none is there for that alone`, async (t) => {
    watchLeaks(t)
    const service = await httpService(t, (_request, response) => {
      response.setHeader('content-length', bytes)
      response.end('x'.repeat(bytes))
    })
    const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${service}", http: { h2c: on }`])
    const client = await rawH2(t, gate.port)
    for (let nth = 0; nth < 3; nth++) t.equal((await client.get()).body.length, bytes)
    const data = client.frames.filter(({ type }) => type === kinds.DATA)
    t.equal(data.length, 3 * Math.ceil(bytes / 16_384))
    client.wire.reset()
  })
