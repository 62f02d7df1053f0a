import { test } from 'tap'
import fc from 'fast-check'
import { startGate } from '../support/gate.ts'
import { chunked, get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const HIDDEN = 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n'

test('a body that looks like a request is a body, whatever the method and however it is framed', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'PROPFIND']
  for (const method of methods) {
    for (const isChunked of [true, false]) {
      const headers = isChunked ? 'Transfer-Encoding: chunked\r\n' : `Content-Length: ${HIDDEN.length}\r\n`
      const before = upstream.requests.length
      t.equal(
        (await client.get(get('/', headers, method) + (isChunked ? chunked(HIDDEN) : HIDDEN), { method }))
          .status,
        200,
      )
      t.equal(upstream.requests.length, before + 1, `${method} ${isChunked}`)
      t.match(upstream.requests[before], { method, target: '/', body: Buffer.from(HIDDEN) })
    }
  }
  t.same(upstream.problems, [])
  t.equal(upstream.connections.length, 1, 'all of them on one connection')
})

interface Sent {
  method: string
  target: string
  body: string
  text: string
}

const methods = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH')
const sent: fc.Arbitrary<Sent> = fc
  .record({
    method: methods,
    path: fc.stringMatching(/^[a-z?/.%=&]{0,12}$/),
    body: fc.option(fc.oneof(fc.string({ maxLength: 40 }), fc.constant(HIDDEN))),
    cuts: fc.array(fc.nat(30), { maxLength: 3 }),
    isChunked: fc.boolean(),
  })
  .map(({ method, path, body, cuts, isChunked }) => {
    const target = `/${path}`
    const latin = body === null ? '' : Buffer.from(body, 'utf8').toString('latin1')
    if (body === null) return { method, target, body: '', text: get(target, '', method) }
    if (!isChunked)
      return {
        method,
        target,
        body: latin,
        text: get(target, `Content-Length: ${latin.length}\r\n`, method) + latin,
      }
    const edges = [0, ...cuts.map((cut) => Math.min(cut, latin.length)).sort((a, b) => a - b), latin.length]
    const pieces = edges
      .slice(1)
      .map((edge, i) => latin.slice(edges[i], edge))
      .filter((piece) => piece !== '')
    return {
      method,
      target,
      body: latin,
      text: get(target, 'Transfer-Encoding: chunked\r\n', method) + chunked(...pieces),
    }
  })

test('pipelined requests, cut anywhere, are seen as the same requests, and answered in order', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(
    t,
    ({ target }) => `HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`,
  )
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const property = fc.asyncProperty(
    fc.array(sent, { minLength: 1, maxLength: 6 }),
    fc.array(fc.nat(400), { maxLength: 5 }),
    async (requests, cuts) => {
      const from = upstream.requests.length
      const client = await httpClient(t, gate.port)
      const bytes = requests.map(({ text }) => text).join('')
      const edges = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length]
      for (const [i, edge] of edges.slice(1).entries()) await client.send(bytes.slice(edges[i], edge))
      for (const { target } of requests) {
        const answer = await client.answer()
        if (answer.status !== 200 || answer.body.toString() !== target)
          throw new Error(`${answer.line} for ${target}`)
      }
      client.wire.destroy()
      const seen = upstream.requests
        .slice(from)
        .map(({ method, target, body }) => ({ method, target, body: body.toString('latin1') }))
      const expected = requests.map(({ method, target, body }) => ({ method, target, body }))
      if (JSON.stringify(seen) !== JSON.stringify(expected)) throw new Error(`saw ${JSON.stringify(seen)}`)
    },
  )
  await fc.assert(property, {
    numRuns: 60,
    ...(process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }),
  })
  t.same(upstream.problems, [])
})
