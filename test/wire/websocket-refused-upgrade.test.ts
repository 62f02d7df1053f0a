import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import type { HandshakeOptions } from '../support/handshake.ts'
import { parseAnswer } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

const rows: Array<[what: string, request: HandshakeOptions, status: number, body: RegExp]> = [
  ['version 12', { headers: { 'Sec-WebSocket-Version': '12' } }, 426, /^protocol_error: .*version 13/],
  ['no version', { headers: { 'Sec-WebSocket-Version': null } }, 426, /^protocol_error: .*version 13/],
  ['no key', { headers: { 'Sec-WebSocket-Key': null } }, 400, /^protocol_error: .*Key/],
  [
    'a key of 15 bytes',
    { headers: { 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') } },
    400,
    /^protocol_error: .*Key/,
  ],
  [
    'a Connection that lists the key',
    { headers: { Connection: 'Upgrade, Sec-WebSocket-Key' } },
    400,
    /^protocol_error: Connection lists sec-websocket-key/,
  ],
  [
    'an Origin that is not on the list',
    { headers: { Origin: 'https://evil.example' } },
    403,
    /^denied: .*websocket\.origins/,
  ],
  ['no Origin where a list is set', { headers: { Origin: null } }, 403, /^denied: /],
  ['Origin: null', { headers: { Origin: 'null' } }, 403, /^denied: /],
]

test('an upgrade that is refused (protocol_error, denied) is told why, with its status, and never reaches the upstream', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, websocket: { origins: ["https://a.example"] }`,
  ])
  for (const [nth, [what, request, status, body]] of rows.entries()) {
    const client = await connect(t, gate.port)
    void client.write(
      upgradeRequest({ ...request, headers: { Origin: 'https://a.example', ...request.headers } }),
    )
    t.match(await within(client.closed), { kind: 'fin' }, what)
    const answer = parseAnswer(await client.received)
    t.equal(answer.status, status, what)
    t.match(answer.body.toString(), body)
    t.same([answer.isWhole, answer.rest.length], [true, 0])
    if (status === 426)
      t.same([answer.header('sec-websocket-version'), answer.header('upgrade')], ['13', 'websocket'])
    t.match(await gate.end(nth), {
      reason: status === 403 ? 'denied' : 'protocol_error',
      side: 'client',
      phase: 'handshake',
    })
  }
  t.equal(upstream.connections.length, 0)
})

test('an Origin that is on the list goes through', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, websocket: { origins: ["https://a.example", "null"] }`,
  ])
  await rawClient(t, gate.port, { headers: { Origin: 'https://a.example' } })
  await rawClient(t, gate.port, { headers: { Origin: 'null' } })
  t.equal(upstream.conversations.length, 2)
})

test('malformed heads are 400, and never reach the upstream', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const right = upgradeRequest()
  const heads = [
    right.replace('Host:', 'Host :'),
    right.replace('Upgrade: websocket', 'Upgrade:\r\n websocket'),
    right.replace('Host: sidegate.test', 'Host: a\0b'),
    right.replace('HTTP/1.1', 'HTTP/2.0'),
    right.replace('Host: sidegate.test', 'Host: a\nContent-Length: 5'),
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n',
  ]
  for (const [nth, head] of heads.entries()) {
    const client = await connect(t, gate.port)
    void client.write(Buffer.from(head, 'latin1'))
    await within(client.closed)
    t.equal(parseAnswer(await client.received).status, 400, JSON.stringify(head.slice(0, 40)))
    t.match(await gate.end(nth), { reason: 'protocol_error', side: 'client', phase: 'handshake' })
  }
  t.equal(upstream.connections.length, 0)
})

test('a request that waits behind a refused one is not looked at', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {})
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await connect(t, gate.port)
  void client.write(upgradeRequest({ headers: { 'Sec-WebSocket-Key': 'x' } }) + upgradeRequest())
  t.match(await within(client.closed), { kind: 'fin' })
  const answer = parseAnswer(await client.received)
  t.same([answer.status, answer.rest.length], [400, 0])
  t.equal(upstream.connections.length, 0)
})
