import { test } from 'tap'
import type { Test } from 'tap'
import { pattern, sha256 } from '../support/bytes.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { wsClient, wsServer } from '../support/websocket.ts'
import type { WsServer } from '../support/websocket.ts'

const MIB = 1024 * 1024
const lengths = [
  0,
  1,
  2,
  125,
  126,
  127,
  1023,
  1024,
  4096,
  65_529,
  65_530,
  65_535,
  65_536,
  65_537,
  131_072,
  MIB,
  3 * MIB + 1,
]

async function gateBefore(
  t: Test,
  upstream: WsServer | { port: number },
  websocket = '',
  rest = '',
): Promise<Gate> {
  return startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms${rest} }, websocket: { mode: messages, ${websocket} }`,
  ])
}

for (const compression of ['off', 'on', 'on, and the service can too'] as const) {
  test(`text and binary of 0 bytes to 3 MiB are echoed as they were, compression: ${compression}`, async (t) => {
    watchLeaks(t)
    const upstream = await wsServer(
      t,
      compression === 'on, and the service can too' ? { perMessageDeflate: { threshold: 0 } } : {},
    )
    const gate = await gateBefore(
      t,
      upstream,
      `maxMessage: 8MiB, compression: ${compression.slice(0, 3).replace(',', '')}`,
    )
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`, { perMessageDeflate: { threshold: 0 } })
    t.equal(client.socket.extensions, compression === 'off' ? '' : 'permessage-deflate')
    t.equal((await upstream.connection()).socket.extensions, '', 'the service is offered none')
    for (const length of compression === 'on, and the service can too' ? lengths.slice(0, 12) : lengths) {
      const binary = pattern(length, length)
      const text = binary.toString('latin1')
      await client.send(binary)
      const echoed = await client.nextMessage()
      t.equal(echoed.isBinary, true)
      t.equal(sha256(echoed.data), sha256(binary), `${length} bytes`)
      await client.send(text)
      const answered = await client.nextMessage()
      t.equal(answered.isBinary, false)
      t.equal(sha256(answered.data), sha256(text), `${length} characters`)
    }
    client.socket.close(1000, 'done')
    t.same(await client.closed, { code: 1000, reason: 'done' })
    const { reason, side, line } = await gate.end()
    t.same([reason, side, line['protocol']], ['eof', 'client', 'websocket'])
    t.same(
      [line['messagesToUpstream'], line['messagesToClient']],
      [client.messages.length, client.messages.length],
    )
    t.same([client.errors, (await upstream.connection()).errors], [[], []])
  })
}

test('a message of 16 MiB comes back as it was', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream, 'maxMessage: 17MiB, compression: on')
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`, { perMessageDeflate: { threshold: 0 } })
  const large = pattern(16 * MIB, 5)
  await client.send(large)
  t.equal(sha256((await client.nextMessage({ withinMs: 20_000 })).data), sha256(large))
})

test('many messages at once, in both directions, compressed ones among them, keep their order', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await gateBefore(t, upstream, 'compression: on')
  const clients = await Promise.all(
    Array.from({ length: 4 }, () =>
      wsClient(t, `ws://127.0.0.1:${gate.port}`, { perMessageDeflate: { threshold: 700 } }),
    ),
  )
  await Promise.all(
    clients.map(async (client, nth) => {
      for (let i = 0; i < 120; i++) void client.send(`${nth}:${i}:${'x'.repeat((i * 37) % 2900)}`)
      for (let i = 0; i < 120; i++)
        t.equal((await client.nextMessage()).data.toString().split(':', 2).join(':'), `${nth}:${i}`)
    }),
  )
})
