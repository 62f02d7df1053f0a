import { test } from 'tap'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'

const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='

test('the head of an upgrade passes both ways unchanged, but for hop-by-hop headers', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, (said) =>
    said.accept({
      Upgrade: 'WebSocket',
      Connection: 'keep-alive, Upgrade, X-Private',
      'Keep-Alive': 'timeout=5',
      'X-Private': 'no',
      'X-Answer': 'a  b',
      'set-cookie': 'c=d',
      'Sec-WebSocket-Protocol': 'chat',
    }),
  )
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await rawClient(t, gate.port, {
    path: '/chat/%7euser?a=1&b=%20',
    headers: {
      Connection: 'Upgrade, X-Hop, keep-alive',
      'Sec-WebSocket-Key': KEY,
      'Sec-WebSocket-Protocol': 'chat, v2',
      'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits, x-unknown',
      Origin: 'https://a.example',
      'X-Hop': 'no',
      'Keep-Alive': '5',
      'Proxy-Connection': 'keep-alive',
      'Proxy-Authorization': 'no',
      TE: 'trailers',
      'x-ODD-case': 'kept',
      Cookie: 'a=b; c=d',
    },
  })
  const { head } = upstream.conversations[0]!
  t.equal(head.line, 'GET /chat/%7euser?a=1&b=%20 HTTP/1.1')
  const added = /^(connection|upgrade|x-forwarded-.*|forwarded|via|sidegate-hops)$/i
  t.same(
    head.headers.filter(([name]) => !added.test(name)),
    [
      ['Host', 'sidegate.test'],
      ['Sec-WebSocket-Version', '13'],
      ['Sec-WebSocket-Key', KEY],
      ['Sec-WebSocket-Protocol', 'chat, v2'],
      ['Origin', 'https://a.example'],
      ['x-ODD-case', 'kept'],
      ['Cookie', 'a=b; c=d'],
      ['Sec-WebSocket-Extensions', 'permessage-deflate; client_max_window_bits'],
    ],
  )
  t.same([head.header('connection'), head.header('upgrade')], ['Upgrade', 'websocket'])
  const answer = client.answer!
  t.equal(answer.line, 'HTTP/1.1 101 Switching Protocols')
  t.same(
    answer.headers.filter(([name]) => !added.test(name)),
    [
      ['Sec-WebSocket-Accept', 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='],
      ['X-Answer', 'a  b'],
      ['set-cookie', 'c=d'],
      ['Sec-WebSocket-Protocol', 'chat'],
    ],
  )
  t.same([answer.header('connection'), answer.header('upgrade')], ['Upgrade', 'websocket'])
})

test('a subprotocol is agreed on end to end', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { handleProtocols: (offered) => (offered.has('v2') ? 'v2' : false) })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}/path?q`, {
    protocols: ['v1', 'v2'],
    headers: { 'X-Who': 'me' },
  })
  t.equal(client.socket.protocol, 'v2')
  const seen = await upstream.connection()
  t.same([seen.socket.protocol, seen.url, seen.headers['x-who']], ['v2', '/path?q', 'me'])
})

test('with compression: strip the upstream is offered none, and the client gets none', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t, { perMessageDeflate: true })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, websocket: { compression: strip }`,
  ])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`, { perMessageDeflate: true })
  t.equal(client.socket.extensions, '')
  t.equal((await upstream.connection()).headers['sec-websocket-extensions'], undefined)
})
