import { test } from 'tap'
import { parseAnswer, parseHead, requestRaw } from './http.ts'
import { echo, halfCloser, listen, mute, resetter } from './peers.ts'

const answer = (text: string) => parseAnswer(Buffer.from(text))

test('a head keeps names, order and duplicates, and finds a value in any case', (t) => {
  const head = parseHead(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\nX-A: 1\r\nx-a:  2 \r\n\r\nbody'))!
  t.equal(head.line, 'GET / HTTP/1.1')
  t.same(head.headers, [
    ['host', 'a'],
    ['X-A', '1'],
    ['x-a', '2'],
  ])
  t.same([head.header('Host'), head.header('x-a'), head.header('y')], ['a', '1, 2', null])
  t.equal(head.length, 'GET / HTTP/1.1\r\nhost: a\r\nX-A: 1\r\nx-a:  2 \r\n\r\n'.length)
  t.equal(parseHead(Buffer.from('GET / HTTP/1.1\r\nhost: a\r\n')), null)
  t.end()
})

test('an answer with a length is whole or cut off, and what follows it is the rest', (t) => {
  const head = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n'
  t.match(answer(`${head}hello`), {
    status: 200,
    body: Buffer.from('hello'),
    isWhole: true,
    rest: Buffer.alloc(0),
  })
  t.match(answer(`${head}hell`), { body: Buffer.from('hell'), isWhole: false })
  t.match(answer(`${head}helloHTTP`), { isWhole: true, rest: Buffer.from('HTTP') })
  t.end()
})

test('a chunked answer is whole with its last chunk and trailers only', (t) => {
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
  const whole = answer(`${head}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nmore`)
  t.match(whole, { body: Buffer.from('abcde'), isWhole: true, rest: Buffer.from('more') })
  t.match(answer(`${head}3\r\nabc\r\n0\r\nX: y\r\n\r\n`), { body: Buffer.from('abc'), isWhole: true })
  for (const cut of ['3\r\nabc\r\n', '3\r\nabc\r\n0\r\n', '3\r\nab', '', 'zz\r\n']) {
    t.equal(answer(head + cut).isWhole, false)
  }
  t.end()
})

test('an answer without a length is all that came, and one that has no body has none', (t) => {
  t.match(answer('HTTP/1.1 200 OK\r\n\r\nall'), { body: Buffer.from('all'), isWhole: true })
  t.match(answer('HTTP/1.1 204 No Content\r\n\r\nHTTP'), { body: Buffer.alloc(0), rest: Buffer.from('HTTP') })
  t.match(answer('HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x00'), {
    status: 101,
    rest: Buffer.from('\x81\x00'),
  })
  const head = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
  t.match(parseAnswer(head, { method: 'HEAD' }), { isWhole: true, body: Buffer.alloc(0) })
  t.end()
})

test('interim answers are named, and what is no answer is an error', (t) => {
  const interim = 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n'
  t.match(answer(`${interim}HTTP/1.1 200 OK\r\n\r\n`), { status: 200, interim: [100, 103] })
  t.throws(() => answer('HTTP/1.1 200 OK\r\n'), { message: /^no head/ })
  t.throws(() => answer('SSH-2.0-x\r\n\r\n'), { message: /^not a status line/ })
  t.end()
})

test('requestRaw gives all bytes until the other side closes', async (t) => {
  const { port } = await listen(t, async (wire) => {
    const request = await wire.readUntil('\r\n\r\n')
    wire.end(`HTTP/1.1 200 OK\r\n\r\n${request.toString()}`)
  })
  const { bytes, closed } = await requestRaw(t, port, 'GET /x HTTP/1.1\r\n\r\n')
  t.same(closed, { kind: 'fin', code: null })
  t.equal(parseAnswer(bytes).body.toString(), 'GET /x HTTP/1.1\r\n\r\n')
})

test('requestRaw can end its half after the request', async (t) => {
  const { port } = await halfCloser(t)
  t.equal((await requestRaw(t, port, 'ping', { half: true })).bytes.toString(), 'ping')
})

test('requestRaw says when the connection was reset, and what came before', async (t) => {
  const { port } = await resetter(t, 4, 'HTTP/1.1 200')
  const { bytes, closed } = await requestRaw(t, port, 'ping')
  t.same(closed, { kind: 'reset', code: 'ECONNRESET' })
  t.equal(bytes.toString(), 'HTTP/1.1 200')
})

test('requestRaw fails when nothing closes the connection in time', async (t) => {
  const { port } = await mute(t)
  await t.rejects(requestRaw(t, port, 'x', { withinMs: 30 }), {
    message: 'waited 30 ms for the answer to end',
  })
})

test('requestRaw sends the bytes as they are', async (t) => {
  const { port } = await echo(t)
  const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  t.ok((await requestRaw(t, port, all, { half: true })).bytes.equals(all))
})
