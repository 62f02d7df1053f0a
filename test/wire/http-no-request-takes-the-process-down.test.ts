import { test } from 'tap'
import fc from 'fast-check'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, HttpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { runs } from '../support/runs.ts'

const seed = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }
const whole = [
  get(),
  get('http://[', ''),
  get('http://a:99999/'),
  get('http://%zz/'),
  get('/a/../b?'),
  get('*', '', 'OPTIONS'),
  get('/', '', 'CONNECT'),
  'CONNECT a:1 HTTP/1.1\r\n\r\n',
  `${get('/', 'Content-Length: 5\r\n', 'POST')}hello`,
  `${get('/', 'Transfer-Encoding: chunked\r\n', 'DELETE')}5\r\nhello\r\n0\r\nX: y\r\n\r\n`,
  get('/', '__proto__: x\r\nconstructor: y\r\n'),
  get(
    '/',
    'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n',
  ),
  get('/', 'Expect: 100-continue\r\nContent-Length: 1\r\n', 'PUT'),
  get('/', 'Expect: x\r\n'),
  'GET / HTTP/1.0\r\n\r\n',
  'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  get('/', 'Connection: Host\r\n'),
  'GET / HTTP/0.9\r\n\r\n',
  '\r\n\r\n',
]
const odd = fc.constantFrom(
  '\0',
  '\x01',
  '\x7f',
  '\r',
  '\n',
  '\r\n',
  '\r\n\r\n',
  ' ',
  '\t',
  ':',
  '\xff',
  ',',
  '0',
  '-1',
  '99999999999',
  'chunked',
  'Host: b\r\n',
  '#',
  'x'.repeat(9000),
  '\r\n'.repeat(300),
)
const bytes = fc
  .record({
    parts: fc.array(fc.constantFrom(...whole), { minLength: 1, maxLength: 5 }),
    noise: fc.array(fc.tuple(fc.nat(300), odd), { maxLength: 3 }),
    cut: fc.option(fc.nat(400), { freq: 3 }),
  })
  .map(({ parts, noise, cut }) => {
    let text = parts.join('')
    for (const [at, what] of noise) text = text.slice(0, at) + what + text.slice(at)
    return cut === null ? text : text.slice(0, cut)
  })

test('no request takes the process down, whatever its bytes, nothing but requests reaches the upstream, and the next client is served', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { handshake: 60ms, request: 60ms, response: 60ms, close: 200ms }, http: { keepAlive: 60ms }`,
  ])
  const property = fc.asyncProperty(
    bytes,
    fc.array(fc.nat(600), { maxLength: 3 }),
    fc.constantFrom('FIN', 'RST', 'nothing'),
    async (text, cuts, by) => {
      const client = await connect(t, gate.port)
      const edges = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length]
      for (const [i, edge] of edges.slice(1).entries())
        void client.write(Buffer.from(text.slice(edges[i], edge), 'latin1'))
      if (by === 'FIN') client.end()
      if (by === 'RST') client.reset()
      await eventually(() => client.outcome !== null || client.hasEnded, { what: 'an end', withinMs: 20_000 })
      client.destroy()
    },
  )
  await fc.assert(property, { numRuns: runs(250), ...seed })
  const after = new HttpClient(await connect(t, gate.port))
  t.equal((await after.get(get())).status, 200)
  after.wire.end()
  await eventually(() => gate.registry.size === 0, { what: 'all gone' })
  t.same(
    gate.lines.filter(({ close }) => close === 'internal_error'),
    [],
  )
  // The gate may pass on a request that was cut off, but no other one.
  t.same(
    upstream.problems.filter((problem) => !problem.startsWith('cut')),
    [],
  )
})
