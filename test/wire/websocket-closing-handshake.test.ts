import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { closePayload } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'

const modes = ['frames', 'messages'] as const

const codes = [1000, 1001, 1003, 1008, 1011, 1013, 3000, 4999]

test('the close code and reason of a client reach the upstream, and its answer the client', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  for (const [nth, code] of codes.entries()) {
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    client.socket.close(code, `reason ${code}`)
    t.same(await client.closed, { code, reason: `reason ${code}` })
    t.same(await (await upstream.connection(nth)).closed, { code, reason: `reason ${code}` })
    t.match(await gate.end(nth), { reason: 'eof', side: 'client', phase: 'relay', detail: `code ${code}` })
  }
})

test('the close code and reason of an upstream reach the client', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  for (const [nth, code] of codes.entries()) {
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    ;(await upstream.connection(nth)).socket.close(code, `reason ${code}`)
    t.same(await client.closed, { code, reason: `reason ${code}` })
    t.match(await gate.end(nth), { reason: 'eof', side: 'upstream', phase: 'relay', detail: `code ${code}` })
  }
})

test('a Close without a code stays one', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await rawClient(t, gate.port)
  await client.sendFrame({ opcode: 'close' })
  t.match(await client.nextFrame(), { opcode: 'close', payload: Buffer.alloc(0) })
  t.same(await (await upstream.connection()).closed, { code: 1005, reason: '' })
  t.match(await within(client.closed), { kind: 'fin' })
  t.match(await gate.end(), { reason: 'eof', side: 'client', detail: 'no code' })
})

for (const mode of modes)
  test(`what the upstream still sends between the two Close frames reaches the client; what follows its own does not, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      t.match(await said.nextFrame(), { opcode: 'close', code: 1000 })
      await said.sendFrame({ opcode: 'text', payload: 'last words' })
      await said.sendFrame({ opcode: 'close', payload: closePayload(1000) })
      await said.sendFrame({ opcode: 'text', payload: 'too late' })
      said.wire.end()
    })
    const gate = await startGate(t, [
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}"`,
    ])
    const client = await rawClient(t, gate.port)
    await client.sendFrame({ opcode: 'close', payload: closePayload(1000) })
    await client.sendFrame({ opcode: 'text', payload: 'after Close' })
    await within(client.closed)
    t.same(
      client.frames().map(({ opcode }) => opcode),
      ['text', 'close'],
    )
    t.same(
      upstream.conversations[0]!.frames().map(({ opcode }) => opcode),
      ['close'],
    )
    t.match(await gate.end(), { reason: 'eof', side: 'client' })
  })

for (const mode of modes)
  test(`a client that sends Close and FIN at once still gets the answer, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await said.wire.ended
      await said.sendFrame({ opcode: 'text', payload: 'more' })
      await said.sendFrame({ opcode: 'close', payload: closePayload(1000) })
      said.wire.end()
    })
    const gate = await startGate(t, [
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}"`,
    ])
    const client = await rawClient(t, gate.port, { halfOpen: true })
    await client.sendFrame({ opcode: 'close', payload: closePayload(1000) })
    client.wire.end()
    t.match(await within(client.closed), { kind: 'fin' })
    t.same(
      client.frames().map(({ opcode }) => opcode),
      ['text', 'close'],
    )
    t.match(await gate.end(), { reason: 'eof', side: 'client' })
  })

for (const side of ['client', 'upstream'] as const) {
  for (const mode of modes)
    test(`a Close of the ${side} that is not answered is an end within deadlines.close, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, async (said) => {
        await said.accept()
        if (side === 'upstream') await said.sendFrame({ opcode: 'close', payload: closePayload(4000) })
      })
      const gate = await startGate(t, [
        `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 200ms }`,
      ])
      const client = await rawClient(t, gate.port, { halfOpen: true })
      const watch = stopwatch(t)
      if (side === 'client') await client.sendFrame({ opcode: 'close', payload: closePayload(4000) })
      // Both go on to keep their halves open: what bounds it is the gate.
      t.match(await gate.end(), {
        reason: 'eof',
        side,
        phase: 'relay',
        detail: 'code 4000, not answered (deadlines.close)',
      })
      t.ok(watch.ms >= 200 && watch.livedMs < 3000, `${watch.livedMs} of ${watch.ms} ms`)
      const [said] = upstream.conversations
      t.match((side === 'client' ? said! : client).frames(), [{ opcode: 'close', code: 4000 }])
      t.equal((side === 'client' ? client : said!).frames().length, 0)
      t.equal(await within(client.wire.ended), true)
      t.equal(await within(said!.wire.ended), true)
    })
}

for (const mode of modes)
  test(`a side that floods after its Close is still ended within deadlines.close, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, (said) => said.accept())
    const gate = await startGate(t, [
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}", deadlines: { close: 200ms }`,
    ])
    const client = await rawClient(t, gate.port, { halfOpen: true })
    await client.sendFrame({ opcode: 'close', payload: closePayload(1000) })
    void client.wire.flood()
    t.match(await gate.end(), { reason: 'eof', side: 'client' })
    t.match(await within(client.closed), { kind: 'reset' })
    t.equal(upstream.conversations[0]!.frames().length, 1)
    t.equal(upstream.conversations[0]!.unfinished, 0)
  })

for (const mode of modes)
  test(`an end of ours while a Close waits for its answer: no second Close the same way, and who has closed is not waited for, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await said.sendFrame({ opcode: 'close', payload: closePayload(4000) })
    })
    const gate = await startGate(t, [
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}", deadlines: { lifetime: 200ms, close: 30s }`,
    ])
    const client = await rawClient(t, gate.port, { halfOpen: true })
    const said = upstream.conversations[0]!
    t.match(await said.nextFrame(), { opcode: 'close', code: 1001, reason: 'lifetime_timeout' })
    t.equal(await within(said.wire.ended), true, 'FIN at once, long before deadlines.close')
    said.wire.end()
    await client.sendFrame({ opcode: 'close', payload: closePayload(4000) })
    t.equal(await within(client.wire.ended), true)
    client.wire.end()
    t.match(client.frames(), [{ opcode: 'close', code: 4000 }])
    t.equal(client.frames().length, 1)
    t.match(await gate.end(), { reason: 'lifetime_timeout', side: 'sidegate' })
  })
