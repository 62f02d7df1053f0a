import { test } from 'tap'
import fc from 'fast-check'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, HttpClient, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import { runs } from '../support/runs.ts'

const seed = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }

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
  '€',
  ',',
  '0',
  '-1',
  '999999999999',
  'chunked',
  'close',
  '__proto__: x\r\n',
  'Set-Cookie',
  'HTTP/1.1 200 OK\r\n\r\n',
)
const line = fc.oneof(
  fc.constantFrom(
    'HTTP/1.1 200 OK',
    'HTTP/1.0 200 OK',
    'HTTP/1.1 204 No',
    'HTTP/1.1 304 No',
    'HTTP/1.1 099 Low',
    'HTTP/1.1 1000 High',
    'HTTP/1.1 999 High',
    'HTTP/1.1 101 Switch',
    'HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK',
    'HTTP/1.1 103 E\r\nLink: <\r\n\r\nHTTP/1.1 200 OK',
    'HTTP/2.0 200 OK',
    'HTTP/1.1 200',
    'HTTP/1.1 200 \x01\x7f',
    'HTTP/1.1 200 \xe9',
    'ICY 200 OK',
    '',
  ),
  fc.string({ maxLength: 30 }),
)
const header = fc.oneof(
  fc.constantFrom(
    'Content-Length: 5',
    'Content-Length: 010',
    'Content-Length: 5, 5',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: gzip',
    'Connection: close',
    'Connection: Set-Cookie',
    'Connection: upgrade',
    'Upgrade: websocket',
    'Keep-Alive: timeout=0',
    'Keep-Alive: timeout=99999999999',
    'Trailer: x',
    '__proto__: 1',
    'constructor: 1',
    'Date: \xff',
    'X: \x01',
    'X: \x7f',
    'X\x01: a',
    ': a',
    'X',
    ' X: y',
    `X: ${'x'.repeat(20_000)}`,
    'Proxy-Connection: x',
    'Via: ',
  ),
  fc
    .tuple(fc.string({ maxLength: 8 }), fc.string({ maxLength: 12 }))
    .map(([name, value]) => `${name}: ${value}`),
)
const body = fc.oneof(
  fc.constantFrom(
    'hello',
    '5\r\nhello\r\n0\r\n\r\n',
    '5\r\nhello\r\n0\r\nX: \x7f\r\n\r\n',
    '5\r\nhello\r\n0\r\n__proto__: x\r\nHost: y\r\n\r\n',
    'zz\r\n',
    'FFFFFFFFFFFFFFFF\r\n',
    '',
  ),
  fc.string({ maxLength: 20 }),
)
const answer = fc
  .record({
    line,
    headers: fc.array(header, { maxLength: 6 }),
    body,
    noise: fc.array(fc.tuple(fc.nat(200), odd), { maxLength: 2 }),
    cut: fc.option(fc.nat(300), { freq: 3 }),
    by: fc.constantFrom('FIN', 'RST', 'nothing'),
  })
  .map(({ line, headers, body, noise, cut, by }) => {
    let text = `${line}\r\n${headers.map((one) => `${one}\r\n`).join('')}\r\n${body}`
    for (const [at, what] of noise) text = text.slice(0, at) + what + text.slice(at)
    return { text: cut === null ? text : text.slice(0, cut), by }
  })

test('no answer takes the process down, whatever its bytes, and the next client is served', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  let next: { text: string; by: string } = { text: '', by: 'FIN' }
  const upstream = await listen(t, async (wire) => {
    for (;;) {
      if ((await wire.readUntil('\r\n\r\n', { withinMs: 60_000 }).catch(() => null)) === null) return
      const { text, by } = next
      await wire.write(Buffer.from(text, 'latin1'))
      if (by === 'FIN') wire.end()
      else if (by === 'RST') wire.reset()
    }
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { response: 60ms, idle: 60ms, write: 60ms, close: 200ms }`,
  ])
  const methods = fc.constantFrom('GET', 'HEAD', 'POST')
  const property = fc.asyncProperty(answer, methods, fc.boolean(), async (given, method, isOld) => {
    next = given
    const client = await connect(t, gate.port)
    void client.write(isOld ? `${method} / HTTP/1.0\r\n\r\n` : get('/', 'Connection: close\r\n', method))
    await within(client.ended, { what: 'an end', withinMs: 20_000 })
    client.destroy()
  })
  await fc.assert(property, { numRuns: runs(250), ...seed })
  next = { text: 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', by: 'nothing' }
  const after = new HttpClient(await connect(t, gate.port))
  t.equal((await after.get(get())).status, 200)
  t.same(
    gate.lines.filter(({ close }) => close === 'internal_error'),
    [],
  )
})
