import { test } from 'tap'
import { isSettled } from './eventually.ts'
import { closePayload, encodeFrame } from './frames.ts'
import { acceptOf, switchingProtocols, upgradeRequest } from './handshake.ts'
import { parseHead } from './http.ts'
import { watchLeaks } from './leaks.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from './websocket.ts'

test('the accept for a key is that of RFC 6455', (t) => {
  t.equal(acceptOf('dGhlIHNhbXBsZSBub25jZQ=='), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  t.end()
})

test('headers of a handshake can be replaced, added and taken away', (t) => {
  const options = { path: '/a', headers: { Upgrade: 'foo', Connection: null, 'X-A': 'b' } }
  const request = parseHead(Buffer.from(upgradeRequest(options)))!
  t.equal(request.line, 'GET /a HTTP/1.1')
  t.same([request.header('upgrade'), request.header('connection'), request.header('x-a')], ['foo', null, 'b'])
  const answer = parseHead(Buffer.from(switchingProtocols(request, { 'Sec-WebSocket-Accept': 'wrong' })))!
  t.equal(answer.header('sec-websocket-accept'), 'wrong')
  t.end()
})

test('rawClient and wsServer understand each other', async (t) => {
  watchLeaks(t)
  const server = await wsServer(t)
  const client = await rawClient(t, server.port, { path: '/chat', headers: { 'X-Who': 'me' } })
  const seen = await server.connection()
  t.match([seen.url, seen.headers['x-who']], ['/chat', 'me'])
  await client.sendFrame({ opcode: 'text', payload: 'one' })
  t.match(await client.nextFrame(), { opcode: 'text', fin: true, mask: null, payload: Buffer.from('one') })
  await client.sendFrame({ opcode: 'ping', payload: 'p' })
  t.match(await client.nextFrame(), { opcode: 'pong', payload: Buffer.from('p') })
  await client.sendFrame({ opcode: 'close', payload: closePayload(4001, 'done') })
  t.match(await client.nextFrame(), { opcode: 'close', code: 4001 })
  t.same(await seen.closed, { code: 4001, reason: 'done' })
  t.match(await client.closed, { kind: 'fin' })
  t.same(seen.pings, [Buffer.from('p')])
  t.equal(client.frames().length, 3)
  t.equal(client.unfinished, 0)
})

test('rawClient sends frames that ws refuses', async (t) => {
  watchLeaks(t)
  const server = await wsServer(t)
  for (const [nth, wrong] of [
    { mask: false },
    { rsv: 4 },
    { opcode: 3 },
    { fin: false, opcode: 'ping' },
  ].entries()) {
    const client = await rawClient(t, server.port)
    await client.sendFrame({ opcode: 'text', payload: 'x', ...(wrong as object) })
    t.match(await client.nextFrame(), { opcode: 'close', code: 1002 })
    const seen = await server.connection(nth)
    t.match(seen.errors, [/^Invalid WebSocket frame/])
    client.wire.end()
  }
})

test('rawClient without a handshake says nothing, and tells the answer to a bad one', async (t) => {
  watchLeaks(t)
  const server = await wsServer(t)
  const client = await rawClient(t, server.port, { handshake: false })
  t.same([client.answer, client.wire.sent], [null, 0])
  const head = await client.handshake({ headers: { 'Sec-WebSocket-Version': '12' } })
  t.match(head.line, 'HTTP/1.1 400')
  const posting = rawClient(t, server.port, { method: 'POST' })
  await t.rejects(posting, { message: /^the answer to the upgrade was HTTP\/1.1 405/ })
})

test('nextFrame fails when the connection closes first, and frames that came are still there', async (t) => {
  const server = await wsServer(t)
  const client = await rawClient(t, server.port)
  await client.sendFrame({ opcode: 'text', payload: 'one' })
  await client.nextFrame()
  const seen = await server.connection()
  seen.socket.terminate()
  await t.rejects(client.nextFrame(), { message: 'closed while waiting for a frame' })
  t.equal(client.frames().length, 1)
})

test('wsClient and wsServer echo, with and without permessage-deflate', async (t) => {
  watchLeaks(t)
  for (const perMessageDeflate of [false, { threshold: 0 }]) {
    const server = await wsServer(t, { perMessageDeflate })
    const client = await wsClient(t, server.url, { perMessageDeflate })
    t.equal(await client.send('grüß'), true)
    t.same(await client.nextMessage(), { data: Buffer.from('grüß'), isBinary: false })
    await client.send(Buffer.alloc(100_000, 7))
    t.same(await client.nextMessage(), { data: Buffer.alloc(100_000, 7), isBinary: true })
    t.equal(client.socket.extensions, perMessageDeflate ? 'permessage-deflate' : '')
    t.equal(client.headers['sec-websocket-extensions'], perMessageDeflate ? 'permessage-deflate' : undefined)
    client.socket.close(1000, 'bye')
    t.same(await client.closed, { code: 1000, reason: 'bye' })
    t.same(await (await server.connection()).closed, { code: 1000, reason: 'bye' })
  }
})

test('wsServer can keep silent and leave pings unanswered', async (t) => {
  const server = await wsServer(t, { echo: false, autoPong: false })
  const client = await rawClient(t, server.port)
  const seen = await server.connection()
  await client.sendFrame({ opcode: 'ping' })
  await client.sendFrame({ opcode: 'text', payload: 'x' })
  seen.socket.on('message', () => seen.socket.send('first'))
  t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('first') })
  t.equal(seen.pings.length, 1)
})

test('wsClient rejects with what ws says', async (t) => {
  const upstream = await scriptedUpstream(t, (said) =>
    said.send('HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n'),
  )
  await t.rejects(wsClient(t, `ws://127.0.0.1:${upstream.port}`), {
    message: 'Unexpected server response: 503',
  })
  t.match(upstream.conversations[0]!.head.line, 'GET / HTTP/1.1')
})

test('a scripted upstream accepts, with frames in the same packet', async (t) => {
  watchLeaks(t)
  const early = encodeFrame({ opcode: 'text', payload: 'early' })
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({}, early)
    t.match(await said.nextFrame(), { opcode: 'text', payload: Buffer.from('hi'), mask: Buffer })
    await said.sendFrame({ opcode: 'close', payload: closePayload(1000) })
    said.wire.end()
  })
  const client = await wsClient(t, `ws://127.0.0.1:${upstream.port}`)
  t.same(await client.nextMessage(), { data: Buffer.from('early'), isBinary: false })
  await client.send('hi')
  t.match(await client.closed, { code: 1000 })
})

test('a scripted upstream sends what ws refuses', async (t) => {
  const upstream = await scriptedUpstream(t, (said) => said.accept({ 'Sec-WebSocket-Accept': 'wrong' }))
  await t.rejects(wsClient(t, `ws://127.0.0.1:${upstream.port}`), { message: /Invalid Sec-WebSocket-Accept/ })
})

test('a scripted upstream waits for a whole head', async (t) => {
  const upstream = await scriptedUpstream(t, (said) => said.send('seen'))
  const client = await rawClient(t, upstream.port, { handshake: false })
  await client.send('GET / HTTP/1.1\r\n')
  t.equal(await isSettled(client.wire.read(4)), false)
  t.equal(upstream.conversations.length, 0)
  await client.send('\r\nbody')
  await client.wire.readUntil('seen').catch(() => {})
  t.equal((await upstream.connection()).takeUnread().toString(), 'body')
})
