import { test } from 'tap'
import { authority } from '../support/certificates.ts'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { parseAnswer } from '../support/http.ts'
import { get, httpClient, HttpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { tlsConnect } from '../support/tls-peers.ts'

const latin = (text: string): Buffer => Buffer.from(text, 'latin1')
const guilty: Array<[what: string, bytes: Buffer, detail: RegExp]> = [
  ['a ClientHello', latin('\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03'), /a TLS handshake/],
  ['the first byte of one', latin('\x16'), /a TLS handshake/],
  ['SSH', latin('SSH-2.0-OpenSSH_9.9\r\n'), /SSH/],
  ['HTTP/2 at once', latin('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /HTTP\/2/],
  ['a PROXY header', latin('PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n'), /a PROXY header/],
  ['a PROXY header, version 2', latin('\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c'), /a PROXY header/],
  ['PostgreSQL that asks for TLS', latin('\0\0\0\x08\x04\xd2\x16\x2f'), /PostgreSQL/],
  ['PostgreSQL', latin('\0\0\0\x10\0\x03\0\0user\0x\0\0'), /PostgreSQL/],
  ['AMQP', latin('AMQP\0\0\x09\x01'), /AMQP/],
  ['MQTT', latin('\x10\x0c\0\x04MQTT\x04\x02\0<\0\0'), /MQTT/],
  ['Redis', latin('*1\r\n$4\r\nPING\r\n'), /Redis/],
  ['SMTP', latin('EHLO a\r\n'), /SMTP/],
  ['noise', latin('\xff\xfe\xfd'), /malformed request line/],
  ['a line that is none', latin('hello\r\n'), /malformed request line/],
  ['HTTP/0.9', latin('GET /\r\n'), /malformed request line/],
  ['lines that end with LF', latin('GET / HTTP/1.1\nHost: a\n\n'), /bare CR or LF/],
  ['one line that ends with LF', latin('GET / HTTP/1.1\r\nHost: a\n\n'), /bare CR or LF/],
]

for (const isSecure of [false, true]) {
  test(`bytes that cannot be HTTP are protocol_error, a 400 at once that says what they look like${isSecure ? ', inside TLS too' : ''}`, async (t) => {
    watchLeaks(t)
    watchCrashes(t)
    const upstream = await recordingUpstream(t)
    const ca = authority(t)
    const { cert, key } = ca.issue('server')
    // Longer than the test would wait.
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { handshake: 10m }${isSecure ? `, tls: { cert: "${cert}", key: "${key}" }` : ''}`,
    ])
    for (const [nth, [what, bytes, detail]] of guilty.entries()) {
      const client = isSecure ? await tlsConnect(t, gate.port, { ca: ca.cert }) : await connect(t, gate.port)
      await client.write(bytes)
      await within(client.ended, { what: `an end of ${what}` })
      client.end()
      await within(client.closed)
      const answer = parseAnswer(await client.received)
      t.same([answer.status, answer.isWhole], [400, true], what)
      t.match(answer.body.toString(), detail, what)
      t.match(
        await gate.end(nth),
        { reason: 'protocol_error', side: 'client', phase: 'handshake', detail },
        what,
      )
    }
    t.equal(upstream.connections.length, 0)
  })
}

test('who writes a request a byte at a time, or with a strange method, is waited for', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  for (const request of [
    get('/'),
    get('/', '', 'PROPFIND'),
    get('/', '', 'M-SEARCH'),
    '\r\n\r\nPROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n',
  ]) {
    const client: HttpClient = await httpClient(t, gate.port)
    for (const byte of request) await client.send(byte)
    t.equal((await client.answer()).status, 200, request)
  }
})

test('an Upgrade that is not websocket is not relayed, and the log says so, with the remedy', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await httpClient(t, gate.port)
  t.equal((await client.get(get('/', 'Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n', 'POST'))).status, 200)
  t.equal((await upstream.request()).header('upgrade'), null)
  client.wire.end()
  t.match(await gate.end(), {
    reason: 'eof',
    side: 'client',
    detail:
      'Upgrade to SPDY/3.1 is not relayed, only websocket is (a listener with protocol: tcp relays any)',
  })
  const both = await httpClient(t, gate.port)
  const answer = await both.get(upgradeRequest({ headers: { Upgrade: 'websocket, tcp' } }))
  t.same(
    [answer.status, answer.body.toString()],
    [
      400,
      'protocol_error: Upgrade to websocket, tcp is not relayed, only websocket is (a listener with protocol: tcp relays any)\n',
    ],
  )
  both.wire.end()
  const plain = await httpClient(t, gate.port)
  t.equal((await plain.get(get('/', 'Upgrade: h2c\r\n'))).status, 200)
  plain.wire.end()
  t.equal((await gate.end(2)).detail, undefined, 'one that is not listed in Connection asks for nothing')
})
