import { test } from 'tap'
import { forwardedFor, forwardedLines, forwardTrailers } from '../../src/http1/forwarding.ts'
import type { ForwardingOptions } from '../../src/http1/forwarding.ts'
import type { Forwarded } from '../../src/http1/forwarding.ts'
import { parseTrailers } from '../../src/http1/head.ts'
import type { Fields } from '../../src/http1/fields.ts'
import { fieldsOf, pairsOf } from '../support/fields.ts'
import type { Header } from '../support/fields.ts'
import { UNIX_CLIENT } from '../../src/core/address.ts'
import { addressOf } from '../support/addresses.ts'

const client = {
  address: '192.0.2.1',
  proto: 'http',
  isTrusted: false,
  form: 'both',
  hasVia: true,
  service: 'svc',
} as const
const rules = {
  form: 'both',
  hasVia: false,
  isTrusted: () => true,
  isSecure: false,
  forwardsCertificate: false,
  service: 'svc',
} as const
const forwardHeaders = (headers: readonly Header[], to: Forwarded): Header[] =>
  pairsOf(parseTrailers(`${forwardedLines(fieldsOf(headers).list, to)}\r\n`) as Fields)
const passedTrailers = (headers: readonly Header[]): Header[] => pairsOf(forwardTrailers(fieldsOf(headers)))
const names = ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'Forwarded', 'Via']

test('the client is named by us alone, unless its peer is trusted', (t) => {
  const said: Header[] = [
    ['Host', 'a'],
    ['X-Forwarded-For', '6.6.6.6'],
    ['x-forwarded-proto', 'https'],
    ['X-Forwarded-Host', 'evil'],
    ['Forwarded', 'for=6.6.6.6'],
    ['X-Real-IP', '6.6.6.6'],
    ['X-Forwarded-Client-Cert', 'x'],
  ]
  t.same(forwardHeaders(said, client), [
    ['Host', 'a'],
    ['X-Forwarded-For', '192.0.2.1'],
    ['X-Forwarded-Proto', 'http'],
    ['X-Forwarded-Host', 'a'],
    ['Forwarded', 'for=192.0.2.1;proto=http;host=a'],
    ['Via', '1.1 sidegate'],
  ])
  t.same(forwardHeaders(said, { ...client, isTrusted: true }), [
    ['Host', 'a'],
    ['X-Real-IP', '6.6.6.6'],
    ['X-Forwarded-Client-Cert', 'x'],
    ['X-Forwarded-For', '6.6.6.6, 192.0.2.1'],
    ['X-Forwarded-Proto', 'https'],
    ['X-Forwarded-Host', 'evil'],
    ['Forwarded', 'for=6.6.6.6, for=192.0.2.1;proto=http;host=a'],
    ['Via', '1.1 sidegate'],
  ])
  t.end()
})

test('the certificate of the client is told in the place of what it says, and behind what a trusted peer says', (t) => {
  const said: Header[] = [
    ['X-Forwarded-Client-Cert', 'a'],
    ['x-forwarded-client-cert', 'b'],
    ['X_Forwarded_Client_Cert', 'c'],
  ]
  const told = (isTrusted: boolean, certificate?: string): string[] =>
    forwardHeaders(said, { ...client, isTrusted, ...(certificate === undefined ? {} : { certificate }) })
      .filter(([name]) => /client.cert/i.test(name))
      .map(([, value]) => value)
  t.same(told(false), [])
  t.same(told(false, 'mine'), ['mine'])
  t.same(told(true), ['a', 'b'])
  t.same(told(true, 'mine'), ['a, b, mine'])
  const shown = { ...rules, forwardsCertificate: true }
  t.equal(
    forwardedFor({ peer: addressOf('10.0.0.1:5'), namesClients: true, tls: null }, shown).certificate,
    undefined,
  )
  t.end()
})

test('a twin of a name that is read in one way only is dropped, from whomever', (t) => {
  const twins = [
    'X_Forwarded_For',
    'x-forwarded_for',
    'X.Forwarded.For',
    'X_REAL_IP',
    'x_forwarded_anything',
    'Content_Length',
    'Transfer_Encoding',
    'Sec_WebSocket_Key',
    'X~Forwarded-For',
    'Proxy_Authorization',
  ]
  for (const isTrusted of [false, true])
    t.same(
      forwardHeaders(
        twins.map((name): Header => [name, 'x']),
        { ...client, isTrusted },
      ).map(([name]) => name),
      names.filter((name) => name !== 'X-Forwarded-Host'),
    )
  const kept: Header[] = [
    ['X_Mine', '1'],
    ['a_b', '2'],
    ['X_Forwarded', '3'],
    ['Content-Type', '4'],
  ]
  t.same(forwardHeaders(kept, client).slice(0, 4), kept)
  t.end()
})

test('addresses and hosts are written so that they end where they do', (t) => {
  const forwarded = (address: string | null, host: string): string =>
    forwardHeaders([['Host', host]], { ...client, address }).find(([name]) => name === 'Forwarded')![1]
  t.equal(forwarded('2001:db8::1', 'a'), 'for="[2001:db8::1]";proto=http;host=a')
  t.equal(forwarded('192.0.2.1', 'a:80'), 'for=192.0.2.1;proto=http;host="a:80"')
  t.equal(forwarded('192.0.2.1', 'a;for=x,"'), 'for=192.0.2.1;proto=http;host="a;for=x,"')
  t.equal(forwarded(null, ''), 'for=unknown;proto=http')
  t.equal(forwardHeaders([], { ...client, address: null })[0]![1], 'unknown')
  t.end()
})

test('Via keeps who was before, and is left as it is where we do not write it', (t) => {
  t.same(
    forwardHeaders(
      [
        ['Via', '1.0 a'],
        ['via', '1.1 b'],
      ],
      client,
    ).at(-1),
    ['Via', '1.0 a, 1.1 b, 1.1 sidegate'],
  )
  t.same(
    forwardHeaders(
      [
        ['Via', '1.0 a'],
        ['via', '1.1 b'],
      ],
      { ...client, hasVia: false },
    ).slice(0, 2),
    [
      ['Via', '1.0 a'],
      ['via', '1.1 b'],
    ],
  )
  t.end()
})

test('trailers that would change what was said before the body do not go on', (t) => {
  const bad = [
    'X-Forwarded-For',
    'x_forwarded_for',
    'Forwarded',
    'Host',
    'Content-Length',
    'Content-Type',
    'Content-Encoding',
    'Transfer-Encoding',
    'Authorization',
    'Cookie',
    'Set-Cookie',
    'TE',
    'Trailer',
    'Connection',
    'Expect',
    'Via',
    'Cache-Control',
    'If-Match',
    'Origin',
    'Range',
    'Max-Forwards',
  ]
  t.same(passedTrailers([...bad, 'X-Sum', 'Server-Timing', 'x-sum'].map((name): Header => [name, 'v'])), [
    ['X-Sum', 'v'],
    ['Server-Timing', 'v'],
    ['x-sum', 'v'],
  ])
  t.same(
    passedTrailers([
      ['Connection', 'Host'],
      ['X', 'y'],
    ]),
    [],
  )
  t.end()
})

test('the client is told of in the form that is asked for, and what a trusted proxy said in the form that it used', (t) => {
  const names = (headers: Header[], form: ForwardingOptions['form'], isTrusted = false): string[] =>
    forwardHeaders(headers, { ...client, form, isTrusted, hasVia: false }).map(([name]) => name)
  const x = ['X-Forwarded-For', 'X-Forwarded-Proto']
  t.same(
    [names([], 'x-forwarded'), names([], 'rfc7239'), names([], 'both'), names([], 'off')],
    [x, ['Forwarded'], [...x, 'Forwarded'], []],
  )
  for (const form of ['x-forwarded', 'rfc7239', 'both'] as const) {
    t.same(
      names([['Forwarded', 'for=1.2.3.4']], form, true),
      ['Forwarded'],
      'the other form would name another client',
    )
    t.same(names([['X-Forwarded-For', '1.2.3.4']], form, true), x)
    t.same(
      names(
        [
          ['X-Forwarded-For', '1.2.3.4'],
          ['Forwarded', 'for=1.2.3.4'],
        ],
        form,
        true,
      ),
      [...x, 'Forwarded'],
    )
  }
  t.same(
    forwardHeaders(
      [
        ['x-forwarded-for', '1.2.3.4'],
        ['X-Forwarded-Proto', 'https'],
      ],
      { ...client, form: 'off', isTrusted: true, hasVia: false },
    ),
    [
      ['X-Forwarded-For', '1.2.3.4'],
      ['X-Forwarded-Proto', 'https'],
    ],
  )
  t.same(names([['Forwarded', 'for=1.2.3.4']], 'off'), [], 'of one that is not trusted nothing goes on')
  t.end()
})

test('the address of a client is taken from its record, without port, brackets and interface', (t) => {
  const of = (record: string): string | null =>
    forwardedFor({ peer: addressOf(record), namesClients: false, tls: null }, rules).address
  t.same(
    [of('10.0.0.1:5'), of('[fd00::1]:5'), of('[fe80::1%eth0]:5'), of('unix')],
    ['10.0.0.1', 'fd00::1', 'fe80::1', null],
  )
  t.equal(
    forwardedFor(
      { peer: addressOf('10.0.0.1:5'), namesClients: true, tls: null },
      { ...rules, isTrusted: (address) => address === '10.0.0.1' },
    ).isTrusted,
    true,
  )
  t.equal(forwardedFor({ peer: UNIX_CLIENT, namesClients: false, tls: null }, rules).isTrusted, false)
  t.end()
})
