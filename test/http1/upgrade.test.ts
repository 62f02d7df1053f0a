import { test } from 'tap'
import { httpStatus } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { parseRequestHead } from '../../src/http1/head.ts'
import type { AnswerHead, RequestHead } from '../../src/http1/head.ts'
import { checkAccepted, checkUpgrade, isUpgrade, otherUpgrade } from '../../src/http1/upgrade.ts'
import type { Upgrade, UpgradeOptions } from '../../src/http1/upgrade.ts'
import { fieldsOf, pairsOf } from '../support/fields.ts'
import type { Header } from '../support/fields.ts'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='
const right: Header[] = [
  ['Host', 'a'],
  ['Connection', 'Upgrade'],
  ['Upgrade', 'websocket'],
  ['Sec-WebSocket-Version', '13'],
  ['Sec-WebSocket-Key', KEY],
]
const open: UpgradeOptions = { origins: [], compression: 'pass' }

/** `right` with headers replaced (null takes one away), and others added behind. */
function headers(changes: Record<string, string | null> = {}, more: Header[] = []): Header[] {
  const changed = right.flatMap(([name, value]): Header[] => {
    const change = changes[name]
    return change === null ? [] : [[name, change ?? value]]
  })
  return [...changed, ...more]
}

const client = {
  address: '10.0.0.1',
  proto: 'http',
  isTrusted: false,
  form: 'both',
  hasVia: true,
  service: 'svc',
} as const
const request = (list: readonly Header[] = right, first: Partial<RequestHead> = {}): RequestHead => ({
  method: 'GET',
  target: '/',
  version: '1.1',
  headers: fieldsOf(list),
  ...first,
})
const check = (list: readonly Header[] = right, options: Partial<UpgradeOptions> = {}): Upgrade | Close =>
  checkUpgrade(request(list), { ...open, ...options }, client)
const accepted = (list?: readonly Header[], options?: Partial<UpgradeOptions>): Upgrade =>
  check(list, options) as Upgrade
const forwarded = (upgrade: Upgrade): Header[] =>
  pairsOf((parseRequestHead(upgrade.head.toString('latin1')) as RequestHead).headers)

test('a right upgrade goes on as it is, but for the headers of its connection', (t) => {
  const upgrade = checkUpgrade(
    request([...right, ['Origin', 'https://a'], ['Cookie', 'x=y'], ['X-Odd', '\xe4'], ['Keep-Alive', '5']], {
      target: '/chat?a=b%20c',
    }),
    open,
    client,
  ) as Upgrade
  t.equal(
    upgrade.head.toString('latin1'),
    `GET /chat?a=b%20c HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\nOrigin: https://a\r\nCookie: x=y\r\nX-Odd: \xe4\r\nSidegate-Hops: 1\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a\r\nForwarded: for=10.0.0.1;proto=http;host=a\r\nVia: 1.1 sidegate\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  )
  t.equal(upgrade.accept, ACCEPT)
  t.same([upgrade.protocols, upgrade.extensions], [[], []])
  t.end()
})

test('names and tokens are compared in any case', (t) => {
  const list: Header[] = [
    ['HOST', 'a'],
    ['connection', 'keep-alive, uPGRADE'],
    ['upgrade', 'WebSocket'],
    ['SEC-WEBSOCKET-VERSION', '13'],
    ['sec-websocket-key', KEY],
  ]
  t.equal(isUpgrade(request(list)), true)
  t.equal(accepted(list).accept, ACCEPT)
  t.end()
})

const refusals: Array<[what: string, request: RequestHead, status: number, detail: RegExp]> = [
  ['HTTP/1.0', request(right, { version: '1.0' }), 400, /HTTP\/1\.1/],
  ['POST', request(right, { method: 'POST' }), 400, /GET/],
  ['get', request(right, { method: 'get' }), 400, /GET/],
  ['CONNECT', request(right, { method: 'CONNECT', target: 'a:80' }), 400, /GET/],
  ['an absolute target of another host', request(right, { target: 'http://evil/' }), 400, /target/],
  ['a target with a fragment', request(right, { target: '/a#b' }), 400, /target/],
  ['a target of *', request(right, { target: '*' }), 400, /target/],
  ['no Host', request(headers({ Host: null })), 400, /Host/],
  ['two Hosts', request(headers({}, [['host', 'b']])), 400, /Host/],
  ['h2c', request(headers({ Upgrade: 'h2c' })), 400, /websocket/],
  ['h2c beside websocket', request(headers({ Upgrade: 'h2c, websocket' })), 400, /websocket/],
  [
    'websocket, then h2c in a header of its own',
    request(headers({}, [['Upgrade', 'h2c']])),
    400,
    /websocket/,
  ],
  ['websocket twice', request(headers({}, [['Upgrade', 'websocket']])), 400, /websocket/],
  ['websocket with a version', request(headers({ Upgrade: 'websocket/13' })), 400, /websocket/],
  ['Content-Length', request(headers({}, [['Content-Length', '5']])), 400, /body/],
  ['Content-Length: 00', request(headers({}, [['Content-Length', '00']])), 400, /body/],
  [
    'Content-Length: 0 twice',
    request(
      headers({}, [
        ['Content-Length', '0'],
        ['content-length', '0'],
      ]),
    ),
    400,
    /body/,
  ],
  ['a malformed Host', request(headers({ Host: 'a b' })), 400, /Host/],
  ['an unknown expectation', request(headers({}, [['Expect', 'x']])), 417, /expectation/],
  ['the eleventh gate', request(headers({}, [['Sidegate-Hops', '10']])), 508, /loop/],
  ['the eleventh proxy', request(headers({}, [['Via', Array(11).fill('1.1 x').join(', ')]])), 508, /loop/],
  ['Transfer-Encoding', request(headers({}, [['Transfer-Encoding', 'chunked']])), 400, /body/],
  ['an empty Transfer-Encoding', request(headers({}, [['Transfer-Encoding', '']])), 400, /body/],
  ['no version', request(headers({ 'Sec-WebSocket-Version': null })), 426, /13/],
  ['version 12', request(headers({ 'Sec-WebSocket-Version': '12' })), 426, /13/],
  ['version 013', request(headers({ 'Sec-WebSocket-Version': '013' })), 426, /13/],
  ['versions 13, 8', request(headers({ 'Sec-WebSocket-Version': '13, 8' })), 426, /13/],
  ['version 13 twice', request(headers({}, [['Sec-WebSocket-Version', '13']])), 426, /13/],
  ['no key', request(headers({ 'Sec-WebSocket-Key': null })), 400, /Key/],
  ['two keys', request(headers({}, [['Sec-WebSocket-Key', KEY]])), 400, /Key/],
  ['an empty key', request(headers({ 'Sec-WebSocket-Key': '' })), 400, /Key/],
  [
    'a key of 15 bytes',
    request(headers({ 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') })),
    400,
    /Key/,
  ],
  [
    'a key of 17 bytes',
    request(headers({ 'Sec-WebSocket-Key': Buffer.alloc(17).toString('base64') })),
    400,
    /Key/,
  ],
  ['a key without padding', request(headers({ 'Sec-WebSocket-Key': KEY.slice(0, -2) })), 400, /Key/],
  ['a key with stray bits', request(headers({ 'Sec-WebSocket-Key': `${KEY.slice(0, -3)}B==` })), 400, /Key/],
  ['a key in base64url', request(headers({ 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j-_==' })), 400, /Key/],
  [
    'Connection that lists Cookie',
    request(headers({ Connection: 'Upgrade, Cookie' })),
    400,
    /Connection lists cookie/,
  ],
  [
    'Connection that lists the key',
    request(headers({ Connection: 'Upgrade, Sec-WebSocket-Key' })),
    400,
    /Connection lists sec-websocket-key/,
  ],
]

test('an upgrade that is not to RFC 6455 is refused with the rule it breaks', (t) => {
  for (const [what, head, status, detail] of refusals) {
    const close = checkUpgrade(head, open, client)
    if (!('reason' in close)) return t.fail(`${what} went through`)
    t.match(close, { reason: 'protocol_error', side: 'client', phase: 'handshake', detail }, what)
    t.equal(httpStatus(close), status, `${what}: ${status}`)
  }
  return t.end()
})

test('an upgrade may say that it has no body, what it expects of one, and name its host in the target', (t) => {
  const upgrade = accepted(
    headers({}, [
      ['Content-Length', '0'],
      ['Expect', '100-continue'],
      ['Sidegate-Hops', '9'],
      ['sidegate-hops', 'x'],
    ]),
  )
  const names = forwarded(upgrade).map(([name]) => name.toLowerCase())
  t.same(
    names.filter((name) => ['content-length', 'expect'].includes(name)),
    [],
  )
  t.same(
    forwarded(upgrade).filter(([name]) => name.toLowerCase() === 'sidegate-hops'),
    [['Sidegate-Hops', '10']],
  )
  for (const [target, path] of [
    ['http://a/x?y', '/x?y'],
    ['HTTP://A:80', '/'],
  ] as const) {
    const found = checkUpgrade(request(right, { target }), open, client) as Upgrade
    t.match(found.head.toString(), new RegExp(`^GET ${path.replace('?', '\\?')} HTTP/1.1\r\n`), target)
  }
  t.end()
})

test('other upgrades are named in so many words, cut and printable', (t) => {
  t.equal(
    otherUpgrade(
      fieldsOf([
        ['Connection', 'Upgrade'],
        ['Upgrade', 'h2c'],
      ]),
    ),
    'h2c',
  )
  t.equal(
    otherUpgrade(
      fieldsOf([
        ['Connection', 'Upgrade'],
        ['Upgrade', 'SPDY/3.1'],
        ['upgrade', 'tcp'],
      ]),
    ),
    'SPDY/3.1, tcp',
  )
  t.equal(
    otherUpgrade(
      fieldsOf([
        ['Connection', 'Upgrade'],
        ['Upgrade', `\xe4${'x'.repeat(100)}`],
      ]),
    ),
    `?${'x'.repeat(39)}`,
  )
  for (const list of [
    right,
    [
      ['Connection', 'close'],
      ['Upgrade', 'h2c'],
    ],
    [['Connection', 'Upgrade']],
  ] as Header[][])
    t.equal(otherUpgrade(fieldsOf(list)), null)
  t.end()
})

test('only a request with Upgrade and with Connection: upgrade is one', (t) => {
  t.equal(isUpgrade(request()), true)
  t.equal(isUpgrade(request(headers({ Upgrade: null }))), false)
  t.equal(isUpgrade(request(headers({ Connection: null }))), false)
  t.equal(isUpgrade(request(headers({ Connection: 'keep-alive' }))), false)
  t.equal(isUpgrade(request(headers({ Connection: 'xupgrade' }))), false)
  t.equal(isUpgrade(request(headers({ Upgrade: 'h2c' }))), false, 'an offer that a plain answer declines')
  t.equal(
    isUpgrade(request(headers({ Upgrade: 'h2c, websocket' }))),
    true,
    'it is refused later, not passed by',
  )
  t.end()
})

test('origins: an empty list allows all, another only what is on it, as it is written', (t) => {
  const of = (origin: string | null, origins: string[]): string => {
    const found = check(headers({}, origin === null ? [] : [['Origin', origin]]), { origins })
    return 'reason' in found ? `${found.reason} ${httpStatus(found)}` : 'allowed'
  }
  for (const origin of ['https://evil', 'null', '', null]) t.equal(of(origin, []), 'allowed')
  const list = ['https://a.example', 'http://b.example:8080']
  for (const origin of list) t.equal(of(origin, list), 'allowed')
  for (const origin of [
    null,
    '',
    'null',
    'https://a.example:443',
    'https://a.example/',
    'HTTPS://A.EXAMPLE',
    'http://a.example',
    'https://a.example.evil',
    'https://xa.example',
    'http://b.example',
    'https://a.example, http://b.example:8080',
  ]) {
    t.equal(of(origin, list), 'denied 403', String(origin))
  }
  t.equal(of('null', ['null']), 'allowed', 'a sandboxed page, where it is wanted')
  const twice = check(
    headers({}, [
      ['Origin', 'https://a.example'],
      ['origin', 'https://a.example'],
    ]),
    { origins: list },
  )
  t.match(twice, { reason: 'denied' }, 'two Origins are none')
  t.end()
})

test('only permessage-deflate is offered on, as it was written; strip offers nothing', (t) => {
  const name = 'Sec-WebSocket-Extensions'
  const of = (values: string[], options?: Partial<UpgradeOptions>): [string[], readonly string[]] => {
    const upgrade = accepted(
      headers(
        {},
        values.map((value) => [name, value]),
      ),
      options,
    )
    return [
      forwarded(upgrade)
        .filter(([key]) => key === name)
        .map(([, value]) => value),
      upgrade.extensions,
    ]
  }
  const deflate = ['permessage-deflate']
  t.same(of([]), [[], []])
  t.same(of(['permessage-deflate; client_max_window_bits']), [
    ['permessage-deflate; client_max_window_bits'],
    deflate,
  ])
  t.same(
    of(['Permessage-Deflate;a', 'permessage-deflate']),
    [['Permessage-Deflate;a', 'permessage-deflate'], deflate],
    'two headers stay two',
  )
  t.same(of(['permessage-deflate; server_no_context_takeover, permessage-deflate']), [
    ['permessage-deflate; server_no_context_takeover, permessage-deflate'],
    deflate,
  ])
  t.same(of(['x-webkit-deflate-frame, permessage-deflate ;a=1,bbf-usp-protocol']), [
    ['permessage-deflate ;a=1'],
    deflate,
  ])
  t.same(of(['mux', 'permessage-deflate']), [['permessage-deflate'], deflate])
  t.same(of(['permessage-deflate2']), [[], []])
  t.same(of(['']), [[], []])
  t.same(of(['permessage-deflate'], { compression: 'strip' }), [[], []])
  t.same(of(['x', 'permessage-deflate; a'], { compression: 'strip' }), [[], []])
  t.end()
})

test('subprotocols are remembered from all headers that offer some', (t) => {
  t.same(
    accepted(
      headers({}, [
        ['Sec-WebSocket-Protocol', 'a, B ,c'],
        ['sec-websocket-protocol', 'd,'],
      ]),
    ).protocols,
    ['a', 'B', 'c', 'd'],
  )
  t.end()
})

const rightAnswer: Header[] = [
  ['Upgrade', 'websocket'],
  ['Connection', 'Upgrade'],
  ['Sec-WebSocket-Accept', ACCEPT],
]
const plain = accepted()
const rich = accepted(
  headers({}, [
    ['Sec-WebSocket-Protocol', 'chat, v2'],
    ['Sec-WebSocket-Extensions', 'permessage-deflate'],
  ]),
)
const answer = (list: readonly Header[], first: Partial<AnswerHead> = {}): AnswerHead => ({
  version: '1.1',
  status: 101,
  reason: 'Switching Protocols',
  headers: fieldsOf(list),
  ...first,
})
const strict = { isLenient: false }
const lenient = { isLenient: true }
const without = (name: string): Header[] => rightAnswer.filter(([key]) => key !== name)

test('a right 101 goes through, but for the headers of its connection and of a body', (t) => {
  t.same(checkAccepted(answer(rightAnswer), plain, strict), {
    head: Buffer.from(
      `HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: ${ACCEPT}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    ),
    isCompressed: false,
  })
  const list: Header[] = [
    ['upgrade', 'WebSocket'],
    ['connection', 'keep-alive, upgrade'],
    ['sec-websocket-accept', ACCEPT],
    ['Server', 'old'],
    ['Content-Length', '0'],
    ['Transfer-Encoding', 'chunked'],
    ['Set-Cookie', 'a'],
    ['Set-Cookie', 'b'],
    ['Keep-Alive', '5'],
  ]
  const found = checkAccepted(answer(list, { reason: '' }), plain, strict)
  t.match(found, { isCompressed: false })
  t.equal(
    (found as { head: Buffer }).head.toString(),
    `HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: ${ACCEPT}\r\nServer: old\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  )
  t.end()
})

test('a subprotocol and an extension that were offered go through', (t) => {
  const chosen: Header[] = [
    ...rightAnswer,
    ['Sec-WebSocket-Protocol', 'v2'],
    ['Sec-WebSocket-Extensions', 'permessage-deflate; server_no_context_takeover'],
  ]
  const found = checkAccepted(answer(chosen), rich, strict)
  t.match(found, { isCompressed: true })
  const { head } = found as { head: Buffer }
  t.match(
    head.toString(),
    'Sec-WebSocket-Protocol: v2\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n',
  )
  t.match(checkAccepted(answer(rightAnswer), rich, strict), { isCompressed: false }, 'none need be chosen')
  t.end()
})

test('a 101 that is not the answer to this request is refused with the rule it breaks', (t) => {
  const rows: Array<[what: string, head: AnswerHead, rule: RegExp, upgrade?: Upgrade]> = [
    ['HTTP/1.0', answer(rightAnswer, { version: '1.0' }), /HTTP\/1\.1/],
    ['no Upgrade', answer(without('Upgrade')), /Upgrade: websocket/],
    ['Upgrade: foo', answer([...without('Upgrade'), ['Upgrade', 'foo']]), /Upgrade: websocket/],
    [
      'Upgrade: websocket, foo',
      answer([...without('Upgrade'), ['Upgrade', 'websocket, foo']]),
      /Upgrade: websocket/,
    ],
    ['two Upgrades', answer([...rightAnswer, ['Upgrade', 'websocket']]), /Upgrade: websocket/],
    ['no Connection', answer(without('Connection')), /Connection: Upgrade/],
    ['Connection: close', answer([...without('Connection'), ['Connection', 'close']]), /Connection: Upgrade/],
    ['no accept', answer(without('Sec-WebSocket-Accept')), /Accept/],
    [
      'a wrong accept',
      answer([...without('Sec-WebSocket-Accept'), ['Sec-WebSocket-Accept', `${ACCEPT.slice(0, -2)}a=`]]),
      /Accept/,
    ],
    [
      'an accept in another case',
      answer([...without('Sec-WebSocket-Accept'), ['Sec-WebSocket-Accept', ACCEPT.toLowerCase()]]),
      /Accept/,
    ],
    ['the accept twice', answer([...rightAnswer, ['Sec-WebSocket-Accept', ACCEPT]]), /Accept/],
    [
      'the key as accept',
      answer([...without('Sec-WebSocket-Accept'), ['Sec-WebSocket-Accept', KEY]]),
      /Accept/,
    ],
    [
      'a subprotocol, none offered',
      answer([...rightAnswer, ['Sec-WebSocket-Protocol', 'chat']]),
      /subprotocol/,
    ],
    [
      'an empty subprotocol, none offered',
      answer([...rightAnswer, ['Sec-WebSocket-Protocol', '']]),
      /subprotocol/,
    ],
    [
      'another subprotocol',
      answer([...rightAnswer, ['Sec-WebSocket-Protocol', 'Chat']]),
      /subprotocol/,
      rich,
    ],
    [
      'two subprotocols',
      answer([...rightAnswer, ['Sec-WebSocket-Protocol', 'chat, v2']]),
      /subprotocol/,
      rich,
    ],
    [
      'two subprotocol headers',
      answer([...rightAnswer, ['Sec-WebSocket-Protocol', 'chat'], ['Sec-WebSocket-Protocol', 'chat']]),
      /subprotocol/,
      rich,
    ],
    [
      'an empty subprotocol after an offer with an empty element',
      answer([...rightAnswer, ['Sec-WebSocket-Protocol', '']]),
      /subprotocol/,
      accepted(headers({}, [['Sec-WebSocket-Protocol', 'a,,b']])),
    ],
    [
      'an extension, none offered',
      answer([...rightAnswer, ['Sec-WebSocket-Extensions', 'permessage-deflate']]),
      /extension/,
    ],
    ['another extension', answer([...rightAnswer, ['Sec-WebSocket-Extensions', 'mux']]), /extension/, rich],
    [
      'a second extension',
      answer([...rightAnswer, ['Sec-WebSocket-Extensions', 'permessage-deflate, mux']]),
      /extension/,
      rich,
    ],
    [
      'the extension twice',
      answer([
        ...rightAnswer,
        ['Sec-WebSocket-Extensions', 'permessage-deflate'],
        ['Sec-WebSocket-Extensions', 'permessage-deflate'],
      ]),
      /extension/,
      rich,
    ],
    ['an empty extension', answer([...rightAnswer, ['Sec-WebSocket-Extensions', '']]), /extension/, rich],
    [
      'an extension whose offer was stripped',
      answer([...rightAnswer, ['Sec-WebSocket-Extensions', 'permessage-deflate']]),
      /extension/,
      accepted(headers({}, [['Sec-WebSocket-Extensions', 'permessage-deflate']]), { compression: 'strip' }),
    ],
    [
      'an extension that was offered but is unknown',
      answer([...rightAnswer, ['Sec-WebSocket-Extensions', 'mux']]),
      /extension/,
      accepted(headers({}, [['Sec-WebSocket-Extensions', 'mux']])),
    ],
    [
      'Connection that lists the accept',
      answer([...without('Connection'), ['Connection', 'Upgrade, Sec-WebSocket-Accept']]),
      /Connection lists sec-websocket-accept/,
    ],
  ]
  for (const [what, head, rule, upgrade = plain] of rows) {
    const found = checkAccepted(head, upgrade, strict)
    t.match(typeof found === 'string' ? found : 'went through', rule, what)
  }
  t.end()
})

const subprotocols: Array<[what: string, values: string[]]> = [
  ['none offered', ['chat']],
  ['in another case', ['Chat']],
  ['two', ['chat, v2']],
  ['twice', ['chat', 'chat']],
]

test('read leniently, a subprotocol is for the client to judge, and goes on as it is written', (t) => {
  for (const [what, values] of subprotocols) {
    const lines = values.map((value): Header => ['Sec-WebSocket-Protocol', value])
    for (const upgrade of [plain, rich]) {
      const found = checkAccepted(answer([...rightAnswer, ...lines]), upgrade, lenient)
      const text = typeof found === 'string' ? found : found.head.toString()
      t.same(
        [...text.matchAll(/Sec-WebSocket-Protocol: (.*)\r\n/g)].map(([, value]) => value),
        values,
        what,
      )
    }
  }
  t.end()
})

test('read leniently, a 101 whose Connection lists a header that says what is said keeps that header', (t) => {
  const head = answer([
    ...rightAnswer.filter(([name]) => name !== 'Connection'),
    ['Connection', 'Upgrade, Set-Cookie'],
    ['Set-Cookie', 'a=b'],
  ])
  const found = checkAccepted(head, plain, lenient)
  t.match(typeof found === 'string' ? found : found.head.toString(), /\r\nSet-Cookie: a=b\r\n/)
  t.equal(checkAccepted(head, plain, strict), 'Connection lists set-cookie')
  t.end()
})

test('read leniently, an empty subprotocol and an empty extension say nothing, and an extension that was not offered is refused still', (t) => {
  const empty: Header[] = [...rightAnswer, ['Sec-WebSocket-Protocol', ''], ['Sec-WebSocket-Extensions', '']]
  for (const upgrade of [plain, rich])
    t.same(
      checkAccepted(answer(empty), upgrade, lenient),
      checkAccepted(answer(rightAnswer), upgrade, lenient),
      'as if they were not there',
    )
  const ours = { isLenient: true, extensions: 'permessage-deflate' }
  t.match(
    (checkAccepted(answer(empty), plain, ours) as { head: Buffer }).head.toString(),
    /\r\nSec-WebSocket-Extensions: permessage-deflate\r\n/,
  )
  for (const value of ['mux', 'permessage-deflate, mux', ', mux', ','])
    t.match(
      checkAccepted(answer([...rightAnswer, ['Sec-WebSocket-Extensions', value]]), rich, lenient),
      /extension/,
    )
  t.end()
})

test('the drafts with the frames of version 13 are spoken, as services speak them', (t) => {
  for (const version of ['7', '8'])
    t.match(
      forwarded(accepted(headers({ 'Sec-WebSocket-Version': version })))
        .map((line) => line.join(': '))
        .join('\n'),
      `Sec-WebSocket-Version: ${version}`,
    )
  for (const version of ['6', '9', '14', '08'])
    t.match(checkUpgrade(request(headers({ 'Sec-WebSocket-Version': version })), open, client), {
      reason: 'protocol_error',
      detail: /13/,
    })
  t.end()
})

test('what a client says of itself is replaced in an upgrade too, unless it is trusted', (t) => {
  const list: Header[] = [
    ...right,
    ['X-Forwarded-For', '6.6.6.6'],
    ['X_Forwarded_For', '6.6.6.6'],
    ['Forwarded', 'for=6.6.6.6'],
  ]
  const untrusted = forwarded(checkUpgrade(request(list), open, client) as Upgrade)
  t.notMatch(JSON.stringify(untrusted), '6.6.6.6')
  t.same(
    untrusted.filter(([name]) => name === 'X-Forwarded-For'),
    [['X-Forwarded-For', '10.0.0.1']],
  )
  const trusted = forwarded(checkUpgrade(request(list), open, { ...client, isTrusted: true }) as Upgrade)
  t.same(
    trusted.filter(([name]) => name === 'X-Forwarded-For'),
    [['X-Forwarded-For', '6.6.6.6, 10.0.0.1']],
  )
  t.end()
})
