import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { closePayload, encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { upgradeRequest } from '../support/handshake.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen, neverCloses } from '../support/peers.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

const modes = ['frames', 'messages'] as const

for (const mode of modes) {
  for (const [what, bad, code, limits] of [
    ['a bad frame', encodeFrame({ opcode: 3, mask: true }), 1002, ''],
    ['a message that is too big', encodeFrame({ opcode: 'binary', declares: 4097, mask: true }), 1009, ''],
    [
      'a message over a rate that closes',
      encodeFrame({ opcode: 'text', payload: 'x', mask: true }),
      1008,
      ', limits: { messages: { rate: 1, burst: 2, onExceed: close } }',
    ],
  ] as const) {
    test(`answers to what came before ${what}, in one read with it, reach the client, and behind them the ${code}, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, async (said) => {
        await said.accept()
        for (;;) {
          const frame = await said.nextFrame()
          await said.sendFrame({
            opcode: frame.opcode === 'close' ? 'close' : 'text',
            payload: frame.payload,
          })
          if (frame.opcode === 'close') return said.wire.end()
        }
      })
      const gate = await startGate(t, [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode}, maxMessage: 4KiB }${limits}`,
      ])
      const client = await rawClient(t, gate.port)
      const good = ['one', 'two'].map((payload) => encodeFrame({ opcode: 'text', payload, mask: true }))
      await client.send(Buffer.concat([...good, bad]))
      t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('one') })
      t.match(await client.nextFrame(), { opcode: 'text', payload: Buffer.from('two') })
      t.match(await client.nextFrame(), { opcode: 'close', code })
      client.wire.end()
      t.match(await within(client.closed), { kind: 'fin' })
      t.match(await gate.end(), { side: 'client', phase: 'relay' })
      t.match(upstream.conversations[0]!.frames().at(-1), { opcode: 'close', code: 1001 })
    })
  }

  test(`a service that goes on for ever is heard out for deadlines.close, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      while (await said.sendFrame({ opcode: 'text', payload: 'news' }))
        await new Promise((resolve) => setTimeout(resolve, 5))
    })
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode} }, deadlines: { close: 300ms }`,
    ])
    const client = await rawClient(t, gate.port)
    await client.sendFrame({ opcode: 3 })
    for (let frame = await client.nextFrame(); frame.opcode !== 'close'; frame = await client.nextFrame())
      t.equal(frame.payload.toString(), 'news')
    t.match(client.frames().at(-1), { opcode: 'close', code: 1002 })
    client.wire.end()
    t.match(await gate.end(), { reason: 'protocol_error', side: 'client' })
  })

  for (const how of ['FIN alone', 'RST'] as const) {
    test(`the code of a client whose service answers its Close with ${how} is in the record, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, async (said) => {
        await said.accept()
        t.match(await said.nextFrame(), { opcode: 'close', code: 4321 })
        if (how === 'RST') said.wire.reset()
        else said.wire.end()
      })
      const gate = await startGate(t, [
        `protocol: http, upstream: "127.0.0.1:${upstream.port}", websocket: { mode: ${mode} }`,
      ])
      const client = await rawClient(t, gate.port, { halfOpen: true })
      await client.sendFrame({ opcode: 'close', payload: closePayload(4321) })
      t.equal(await within(client.wire.ended), true)
      t.equal(client.frames().length, 0, 'as without us')
      client.wire.end()
      const { reason, side, detail } = await gate.end()
      t.same([reason, side], ['eof', 'client'])
      t.match(
        detail,
        how === 'RST' ? /^code 4321, then reset by the upstream \(E/ : /^code 4321, answered by FIN alone/,
      )
    })
  }
}

const alert = Buffer.from('15030300020100', 'hex')

for (const [what, words] of [
  ['nothing', Buffer.alloc(0)],
  ['a close_notify of TLS', alert],
] as const) {
  test(`a tcp client that ends first and whose service says ${what} and resets is eof by the client; the wire keeps the RST`, async (t) => {
    watchLeaks(t)
    const upstream = await listen(t, async (wire) => {
      await wire.write('hello')
      await wire.ended
      if (words.length > 0) await wire.write(words)
      wire.reset()
    })
    const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
    const client = await connect(t, gate.port, { halfOpen: true })
    await client.read(5)
    client.end('bye')
    t.match(await within(client.closed), { kind: 'reset' })
    t.match(await gate.end(), { reason: 'eof', side: 'client', detail: /answered the end with RST/ })
  })
}

test('a tcp service that resets inside an answer to a client that has ended is reset, and so is one that resets a client that has not', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, async (wire) => {
    const request = await wire.read(3)
    if (request.toString() === 'bye') await wire.ended
    await wire.write('half an answer')
    wire.reset()
  })
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  for (const [nth, request] of ['bye', 'req'].entries()) {
    const client = await connect(t, gate.port, { halfOpen: true })
    if (request === 'bye') client.end(request)
    else await client.write(request)
    await within(client.closed)
    t.match(await gate.end(nth), { reason: 'reset', side: 'upstream', phase: 'relay' })
  }
})

for (const [how, reason] of [
  ['end', 'aborted'],
  ['reset', 'reset'],
] as const)
  test(`a service that stays silent when its client leaves during the upgrade (${how}) sees FIN, and is let go after deadlines.close`, async (t) => {
    watchLeaks(t)
    const upstream = await neverCloses(t)
    const gate = await startGate(t, [
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 300ms }`,
    ])
    const client = await rawClient(t, gate.port, { handshake: false })
    await client.send(upgradeRequest())
    const seen = await upstream.connection()
    await seen.readUntil('\r\n\r\n')
    client.wire[how]()
    t.equal(await within(seen.ended), true, 'FIN')
    t.match(await gate.end(), { reason, side: 'client', phase: 'handshake' })
  })
