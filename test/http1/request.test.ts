import { test } from 'tap'
import { fieldsOf } from '../support/fields.ts'
import type { Header } from '../support/fields.ts'
import { checkRequest } from '../../src/http1/request.ts'

const HOST: Header = ['Host', 'a']
function check(
  headers: Header[] = [],
  {
    method = 'GET',
    target = '/',
    version = '1.1',
    max = Infinity,
    host = HOST,
  }: { method?: string; target?: string; version?: string; max?: number; host?: Header | null } = {},
): string {
  const checked = checkRequest(
    { method, target, version, headers: fieldsOf([...(host === null ? [] : [host]), ...headers]) },
    max,
  )
  return 'reason' in checked
    ? `${checked.httpStatus} ${checked.reason}: ${checked.detail}`
    : `${checked.target} ${checked.bodyBytes} ${checked.headers
        .map(({ spelling }) => spelling)
        .filter((name) => name !== 'Sidegate-Hops')
        .join()}`
}

test('one framing is understood, or none', (t) => {
  t.equal(check(), '/ 0 Host')
  t.equal(check([['Content-Length', '5']]), '/ 5 Host,Content-Length')
  t.equal(check([['content-length', '0']]), '/ 0 Host,content-length')
  t.equal(check([['Content-Length', '999999999999999']]), '/ 999999999999999 Host,Content-Length')
  t.equal(check([['Transfer-Encoding', 'CHUNKED']]), '/ null Host')
  const length = '400 protocol_error: malformed Content-Length at byte 9: expected one decimal number'
  for (const bad of ['', '010', '+5', '-5', '5 5', '5,5', '1e2', '0x5', '5.0', '1000000000000000', '٥'])
    t.equal(check([['Content-Length', bad]]), length, bad)
  t.equal(
    check([
      ['Content-Length', '5'],
      ['content-length', '5'],
    ]),
    '400 protocol_error: another Content-Length at byte 28: expected one',
  )
  const coding = (at: number): string =>
    `400 protocol_error: a transfer coding other than chunked at byte ${at}: expected chunked alone`
  for (const bad of [
    '',
    ',chunked',
    'chunked,',
    'chunked, chunked',
    'gzip, chunked',
    'identity',
    'chunked;q=1',
  ])
    t.equal(check([['Transfer-Encoding', bad]]), coding(9), bad)
  t.equal(
    check([
      ['Transfer-Encoding', 'chunked'],
      ['transfer-encoding', 'chunked'],
    ]),
    coding(37),
  )
  t.equal(
    check([
      ['Transfer-Encoding', ''],
      ['Content-Length', '5'],
    ]),
    '400 protocol_error: both Content-Length and Transfer-Encoding, the second at byte 30: expected one of them',
  )
  t.equal(
    check([['Transfer-Encoding', 'chunked']], { version: '1.0' }),
    '400 protocol_error: a transfer coding in HTTP/1.0 at byte 9: expected Content-Length',
  )
  t.end()
})

test('a body over its bound is refused where it is declared', (t) => {
  t.equal(check([['Content-Length', '5']], { max: 5 }), '/ 5 Host,Content-Length')
  t.equal(check([['Content-Length', '6']], { max: 5 }), '413 message_too_big: request body (http.maxBody)')
  t.equal(check([['Transfer-Encoding', 'chunked']], { max: 5 }), '/ null Host')
  t.end()
})

test('a target is a path of this host, byte for byte', (t) => {
  for (const target of ['/', '/?', '//x', '/a/../b//c?', '/%2e%2e', '/a:b@c'])
    t.equal(check([], { target }), `${target} 0 Host`)
  for (const [target, path] of [
    ['http://a', '/'],
    ['http://a:80/', '/'],
    ['https://a:443/', '/'],
    ['http://A/x', '/x'],
    ['https://a?', '/?'],
    ['HTTP://a//x?y', '//x?y'],
  ])
    t.equal(check([], { target: target! }), `${path} 0 Host`)
  const refused = '400 protocol_error: request target that is no path of this host'
  for (const target of [
    '',
    '*',
    'a',
    '?',
    'http://',
    'http://b/',
    'http://a:81/',
    'http://x@a/',
    'http://a#x',
    '/#',
    'ftp://a/',
    'http:/a',
    'http:a',
    'a:80',
    'http://[',
  ])
    t.equal(check([], { target }), refused, target)
  t.equal(
    check([], { target: 'http://a/', version: '1.0', host: null }),
    '/ 0 Host',
    'HTTP/1.0 needs no Host',
  )
  for (const target of ['http://u@a/', 'http://a b/', 'http://a:b/', 'ws://a/'])
    t.equal(check([], { target, version: '1.0', host: null }), refused, target)
  t.equal(check([], { target: '*', method: 'OPTIONS' }), '* 0 Host')
  t.equal(check([], { target: 'http://a', method: 'OPTIONS' }), '* 0 Host')
  t.equal(check([], { target: 'http://a/', method: 'OPTIONS' }), '/ 0 Host')
  t.end()
})

test('one Host, well formed; none only in HTTP/1.0', (t) => {
  for (const host of [
    '',
    'a',
    'a:80',
    'A-b_c.d.',
    '127.0.0.1',
    '[::1]',
    '[::1]:80',
    'a:',
    'x%41',
    "a!$&'()*+,;=b~",
  ])
    t.equal(check([], { host: ['Host', host] }), '/ 0 Host', host)
  for (const host of ['a b', 'a/b', 'a@b', '[', '[::1', '::1', 'a:b', 'a#', 'a?', 'a\\b', 'a"', '<a>', 'é'])
    t.equal(check([], { host: ['Host', host] }), '400 protocol_error: malformed Host header', host)
  t.equal(check([['hOST', 'a']]), '400 protocol_error: more than one Host header')
  t.equal(check([], { host: null }), '400 protocol_error: no Host header')
  t.equal(check([], { host: null, version: '1.0' }), '/ 0 ', 'the head for the upstream adds one')
  t.end()
})

test('what no plain request is for is refused', (t) => {
  for (const version of ['2.0', '0.9', '1.2', ''])
    t.equal(check([], { version }), '400 protocol_error: malformed request line')
  for (const method of ['CONNECT', 'TRACE'])
    t.equal(check([], { method }), `405 protocol_error: ${method} is not served`)
  t.equal(
    check([
      ['Connection', 'Upgrade'],
      ['Upgrade', 'websocket'],
      ['Content-Length', '0'],
    ]),
    '400 protocol_error: an upgrade has no body',
  )
  t.equal(check([['Connection', 'X-Forwarded-For']]), '400 protocol_error: Connection lists x-forwarded-for')
  t.equal(
    check([['Via', Array(11).fill('1.1 x').join()]]),
    '508 protocol_error: more than 10 proxies on the way: a loop',
  )
  t.match(
    check([
      ['Via', '1.1 a, 1.1 b'],
      ['via', Array(8).fill('1.1 x').join()],
    ]),
    /^\/ 0/,
  )
  t.end()
})

test('that the client takes trailers goes on, unless it speaks HTTP/1.0, and no other transfer coding', (t) => {
  const asked = (...values: string[]): Header[] => values.map((value): Header => ['TE', value])
  for (const values of [['trailers'], ['gzip, Trailers;q=0.5'], ['deflate', 'trailers'], ['trailers ; a=b']])
    t.equal(check(asked(...values)), '/ 0 Host,TE', values.join())
  for (const values of [['gzip'], [''], ['trailersx'], ['x-trailers'], ['gzip;trailers']])
    t.equal(check(asked(...values)), '/ 0 Host', values.join())
  t.equal(check(asked('trailers'), { version: '1.0' }), '/ 0 Host')
  t.end()
})

test('hop-by-hop headers and expectations stay here', (t) => {
  t.equal(
    check([
      ['Connection', 'X-A'],
      ['X-A', '1'],
      ['TE', 'x'],
      ['Expect', '100-continue'],
      ['Upgrade', 'h2c'],
      ['X-B', '1'],
    ]),
    '/ 0 Host,X-B',
  )
  t.end()
})
