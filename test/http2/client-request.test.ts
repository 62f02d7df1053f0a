import { test } from 'tap'
import { readRequest } from '../../src/http2/client-request.ts'
import type { StreamRequest } from '../../src/http2/client-request.ts'

type Fields = Array<readonly [string, string]>

const GET: Fields = [
  [':method', 'GET'],
  [':scheme', 'https'],
  [':path', '/a?b=c'],
  [':authority', 'one.example'],
]
const read = (fields: Fields, isEnd = true): StreamRequest | string => readRequest(fields.flat(), isEnd)
const replaced = (name: string, value: string | null): Fields =>
  value === null
    ? GET.filter(([key]) => key !== name)
    : GET.map((field) => (field[0] === name ? [name, value] : field))

function head(one: StreamRequest | string): string {
  if (typeof one === 'string') return one
  const { request } = one
  const lines = request.headers.list.map(({ spelling, value }) => `${spelling}: ${value}`)
  return [`${request.method} ${request.target} HTTP/${request.version}`, ...lines].join('\n')
}

test('a request is the head of HTTP/1.1 that it is inside', (t) => {
  const one = read([...GET, ['accept', '*/*'], ['x', 'é'.normalize('NFC')]])
  t.equal(head(one), 'GET /a?b=c HTTP/1.1\nHost: one.example\naccept: */*\nx: \xe9\nconnection: close')
  t.match(one, { body: 'none' })
  t.end()
})

test('its body is framed by what is known of its end', (t) => {
  t.match(read(GET, false), { body: 'chunked' })
  t.match(head(read(GET, false)), /\ntransfer-encoding: chunked/)
  t.match(read([...GET, ['content-length', '5']], false), { body: 'length' })
  t.match(read([...GET, ['content-length', '0']], false), { body: 'none' })
  t.match(read([...GET, ['content-length', '0']]), { body: 'none' })
  t.end()
})

test('crumbs of a cookie are one cookie, and Host stands for an :authority that is left out', (t) => {
  t.match(head(read([...GET, ['cookie', 'a=b'], ['x', 'y'], ['cookie', 'c=d']])), /\ncookie: a=b; c=d\n/)
  t.match(head(read([...replaced(':authority', null), ['host', 'two.example']])), /\nHost: two.example\n/)
  t.match(head(read([...GET, ['host', 'ONE.example']])), /\nHost: one.example\nconnection/)
  t.match(head(read([...GET, ['te', 'trailers']])), /^GET/)
  t.match(head(read([...replaced(':path', '*').slice(1), [':method', 'OPTIONS']])), /^OPTIONS \* HTTP/)
  t.end()
})

test('extended CONNECT is an upgrade with a key of ours, whatever key came', (t) => {
  const tunnel: Fields = [
    ...replaced(':method', 'CONNECT'),
    [':protocol', 'websocket'],
    ['sec-websocket-version', '13'],
    ['sec-websocket-key', 'smuggled'],
  ]
  const one = read(tunnel, false)
  t.match(one, { body: 'raw' })
  t.match(
    head(one),
    /^GET \/a\?b=c HTTP\/1\.1\n[^]*\nconnection: Upgrade\nupgrade: websocket\nsec-websocket-key: [\w+/]{22}==$/,
  )
  t.notMatch(head(one), /smuggled/)
  t.equal(read(tunnel, true), 'a WebSocket whose stream has ended')
  t.end()
})

test('what could be read in two ways is a rule broken', (t) => {
  const broken: Array<[fields: Fields, problem: RegExp, isEnd?: boolean]> = [
    [replaced(':method', null), /no :method/],
    [replaced(':method', 'GE T'), /no :method/],
    [replaced(':scheme', null), /no :scheme/],
    [replaced(':scheme', 'ftp'), /no :scheme/],
    [replaced(':path', null), /malformed :path/],
    [replaced(':path', ''), /malformed field|malformed :path/],
    [replaced(':path', 'a'), /malformed :path/],
    [replaced(':path', '/a b'), /malformed :path/],
    [replaced(':path', '/a\u00e9'), /malformed :path/],
    [replaced(':path', '*'), /without OPTIONS/],
    [replaced(':path', 'http://a/'), /malformed :path/],
    [replaced(':authority', 'a@b'), /malformed :authority/],
    [replaced(':authority', 'a b'), /malformed :authority/],
    [[...GET, [':path', '/b']], /:path twice/],
    [[['x', 'y'], ...GET], /behind others/],
    [[...GET, [':status', '200']], /unknown pseudo/],
    [[...GET, [':protocol', 'websocket']], /without CONNECT/],
    [[...GET, ['host', 'other']], /disagree/],
    [[...GET, ['host', 'one.example'], ['host', 'one.example']], /more than one Host/],
    [[...GET, ['X', 'y']], /field name/],
    [[...GET, ['x y', 'z']], /field name/],
    [[...GET, ['x:', 'z']], /field name/],
    [[...GET, ['', 'z']], /field name/],
    [[...GET, ['x', 'a\r\nb: c']], /field value/],
    [[...GET, ['x', 'a\nb']], /field value/],
    [[...GET, ['x', 'a\0b']], /field value/],
    [[...GET, ['x', ' a']], /field value/],
    [[...GET, ['x', 'a\t']], /field value/],
    [[...GET, ['connection', 'close']], /connection, which/],
    [[...GET, ['keep-alive', '1']], /keep-alive, which/],
    [[...GET, ['proxy-connection', 'x']], /proxy-connection, which/],
    [[...GET, ['transfer-encoding', 'chunked']], /transfer-encoding, which/, false],
    [[...GET, ['upgrade', 'websocket']], /upgrade, which/],
    [[...GET, ['te', 'gzip']], /te with more/],
    [[...GET, ['content-length', '5'], ['content-length', '5']], /Content-Length/, false],
    [[...GET, ['content-length', '+5']], /Content-Length/, false],
    [[...GET, ['content-length', '5']], /without a body/],
    [replaced(':method', 'CONNECT'), /CONNECT with/],
  ]
  for (const [fields, problem, isEnd = true] of broken) {
    const one = read(fields, isEnd)
    t.type(one, 'string', JSON.stringify(fields.at(-1)))
    t.match(one, problem)
  }
  t.end()
})

test('as many fields as a head of HTTP/1.1 may have lines, and no more', (t) => {
  const many = (count: number): Fields =>
    Array.from({ length: count }, (_, nth) => [`x-${nth}`, 'y'] as const)
  t.type(read([...GET, ...many(254)]), 'object')
  t.match(read([...GET, ...many(255)]), /more than 256/)
  t.end()
})
