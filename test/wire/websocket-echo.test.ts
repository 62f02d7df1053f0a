import { test } from 'tap'
import { pattern, sha256 } from '../support/bytes.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { wsClient, wsServer } from '../support/websocket.ts'

const MIB = 1024 * 1024
/** Lengths around the borders of the length forms, of a read, and of the queue of a half. */
const lengths = [
  0,
  1,
  2,
  125,
  126,
  127,
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

for (const compression of ['none', 'both', 'client only', 'stripped'] as const) {
  test(`text and binary of 0 bytes to 3 MiB are echoed as they were, compression: ${compression}`, async (t) => {
    watchLeaks(t)
    const deflate = { threshold: 0 }
    const upstream = await wsServer(
      t,
      compression === 'both' || compression === 'stripped' ? { perMessageDeflate: deflate } : {},
    )
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }, websocket: { maxMessage: 8MiB, compression: ${compression === 'stripped' ? 'strip' : 'pass'} }`,
    ])
    const client = await wsClient(
      t,
      `ws://127.0.0.1:${gate.port}`,
      compression === 'none' ? {} : { perMessageDeflate: deflate },
    )
    t.equal(client.socket.extensions, compression === 'both' ? 'permessage-deflate' : '')
    for (const length of lengths) {
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
    t.same([line['messagesToUpstream'], line['messagesToClient']], [2 * lengths.length, 2 * lengths.length])
    t.same([client.errors, (await upstream.connection()).errors], [[], []])
  })
}

test('many messages at once, in both directions, keep their order', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 500ms }`,
  ])
  const clients = await Promise.all(
    Array.from({ length: 10 }, () => wsClient(t, `ws://127.0.0.1:${gate.port}`)),
  )
  await Promise.all(
    clients.map(async (client, nth) => {
      for (let i = 0; i < 300; i++) void client.send(`${nth}:${i}:${'x'.repeat((i * 37) % 900)}`)
      for (let i = 0; i < 300; i++)
        t.equal((await client.nextMessage()).data.toString().split(':', 2).join(':'), `${nth}:${i}`)
    }),
  )
})
