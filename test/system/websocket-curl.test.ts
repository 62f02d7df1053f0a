import { test } from 'tap'
import { scriptedUpstream } from '../support/websocket.ts'
import { curl, missing, run, startProgram } from './websocket-tools.ts'

const skip = missing({ name: 'curl', isThere: curl !== null })
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const upgrade = (version = '13', key: string | null = KEY): string[] =>
  [
    'Connection: Upgrade',
    'Upgrade: websocket',
    `Sec-WebSocket-Version: ${version}`,
    ...(key === null ? [] : [`Sec-WebSocket-Key: ${key}`]),
  ].flatMap((header) => ['-H', header])

test('curl gets the 101 of an upgrade, verified, and the frame behind it', { skip }, async (t) => {
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept({ 'X-From': 'upstream' }, Buffer.from('8105', 'hex'))
    await said.send('hello')
    await said.send(Buffer.from('880203e8', 'hex'))
    await said.wire.ended
    said.wire.end()
  })
  const gate = await startProgram(t, upstream.port, 'deadlines: { close: 300ms }')
  const { out } = await run(t, curl!, [
    '-s',
    '-i',
    '-N',
    '--http1.1',
    '--max-time',
    '5',
    ...upgrade(),
    `http://127.0.0.1:${gate.port}/chat`,
  ])
  t.match(out, 'HTTP/1.1 101 Switching Protocols')
  t.match(out, /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i)
  t.match(out, 'X-From: upstream')
  t.equal(upstream.conversations[0]!.head.line, 'GET /chat HTTP/1.1')
  t.match(await gate.end(), { protocol: 'websocket' })
})

test('curl is told why an upgrade is refused, and nothing reaches the upstream', { skip }, async (t) => {
  const upstream = await scriptedUpstream(t, (said) => said.accept())
  const gate = await startProgram(t, upstream.port)
  const ask = async (...args: string[]): Promise<string> =>
    (
      await run(t, curl!, [
        '-s',
        '-i',
        '--http1.1',
        '--max-time',
        '5',
        ...args,
        `http://127.0.0.1:${gate.port}/`,
      ])
    ).out
  const old = await ask(...upgrade('6'))
  t.match(old, 'HTTP/1.1 426 Upgrade Required')
  t.match(old, /sec-websocket-version: 13/i)
  t.match(old, 'protocol_error: ')
  t.match(await ask(...upgrade('13', null)), 'HTTP/1.1 400 Bad Request')
  t.match(await ask(...upgrade('13', 'short')), 'HTTP/1.1 400 Bad Request')
  t.equal(upstream.conversations.length, 0)
})

test('curl cannot turn the connection into HTTP/2', { skip }, async (t) => {
  const upstream = await scriptedUpstream(t, (said) =>
    said.send('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'),
  )
  const gate = await startProgram(t, upstream.port)
  const asked = await run(t, curl!, [
    '-s',
    '-i',
    '--http2',
    '--max-time',
    '5',
    `http://127.0.0.1:${gate.port}/`,
  ])
  t.notMatch(asked.out, 'HTTP/1.1 101')
  const told = await run(t, curl!, [
    '-s',
    '-i',
    '--http2-prior-knowledge',
    '--max-time',
    '5',
    `http://127.0.0.1:${gate.port}/`,
  ])
  t.not(told.code, 0)
  for (const { head } of upstream.conversations)
    t.same([head.header('upgrade'), head.header('http2-settings')], [null, null])
})
