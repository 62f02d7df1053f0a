import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { closePayload } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { rawClient, scriptedUpstream, wsClient, wsServer } from '../support/websocket.ts'
import type { FrameWire } from '../support/websocket.ts'

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
      // Both still keep their halves open: only the gate bounds the wait.
      t.match(await gate.end(), {
        reason: 'eof',
        side,
        phase: 'relay',
        detail: 'code 4000, not answered (deadlines.close)',
      })
      t.ok(watch.ms >= 200 && watch.livedMs < 4500, `${watch.livedMs} of ${watch.ms} ms`)
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
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}", deadlines: { idle: 200ms, close: 30s }`,
    ])
    const client = await rawClient(t, gate.port, { halfOpen: true })
    const said = upstream.conversations[0]!
    t.match(await said.nextFrame(), { opcode: 'close', code: 1001, reason: 'idle_timeout' })
    t.equal(await within(said.wire.ended), true, 'FIN at once, long before deadlines.close')
    said.wire.end()
    await client.sendFrame({ opcode: 'close', payload: closePayload(4000) })
    t.equal(await within(client.wire.ended), true)
    client.wire.end()
    t.match(client.frames(), [{ opcode: 'close', code: 4000 }])
    t.equal(client.frames().length, 1)
    t.match(await gate.end(), { reason: 'idle_timeout', side: 'sidegate' })
  })

async function partWell(...peers: FrameWire[]): Promise<void> {
  for (const { wire } of peers) {
    await within(wire.ended)
    wire.end()
  }
}

for (const mode of modes)
  for (const side of ['client', 'upstream'] as const) {
    const options = (port: number, deadlines: string): string =>
      `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${port}", deadlines: { ${deadlines} }`

    for (const end of ['drain', 'reloaded', 'lifetime_timeout'] as const)
      test(`a Close of the ${side} that waits for its answer gets that of the other peer, though ${end} comes meanwhile, ${mode}`, async (t) => {
        watchLeaks(t)
        const upstream = await scriptedUpstream(t, (said) => said.accept())
        const deadlines = `close: 30s, lifetime: ${end === 'lifetime_timeout' ? '100ms' : 'off'}`
        const gate = await startGate(t, [options(upstream.port, deadlines)])
        const client = await rawClient(t, gate.port, { halfOpen: true })
        const [said] = upstream.conversations
        const [first, second] = side === 'client' ? [client, said!] : [said!, client]
        await first.sendFrame({ opcode: 'close', payload: closePayload(4321) })
        t.match(await second.nextFrame(), { opcode: 'close', code: 4321 })
        const isAsked = (): boolean =>
          gate.open().timeline?.lines.some(({ event }) => event === 'postponed') === true
        const drained = end === 'drain' ? gate.drain(20_000) : null
        if (end === 'reloaded')
          await gate.reload(
            [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`],
            'drain: { spread: 50ms }',
          )
        await eventually(() => gate.lines.length > 0 || isAsked())
        await second.sendFrame({ opcode: 'text', payload: 'and this' })
        await second.sendFrame({ opcode: 'close', payload: closePayload(4321) })
        t.match(await first.nextFrame(), { opcode: 'text' })
        t.match(await first.nextFrame(), { opcode: 'close', code: 4321 })
        await partWell(first, second)
        t.match(await gate.end(), { reason: 'eof', side, detail: 'code 4321' })
        await drained
      })

    test(`a Close of the ${side} that is never answered is its end within deadlines.close, though its lifetime is over, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, (said) => said.accept())
      const gate = await startGate(t, [options(upstream.port, 'close: 300ms, lifetime: 100ms')])
      const client = await rawClient(t, gate.port, { halfOpen: true })
      const first = side === 'client' ? client : upstream.conversations[0]!
      await first.sendFrame({ opcode: 'close', payload: closePayload(4321) })
      t.match(await gate.end(), { reason: 'eof', side, detail: 'code 4321, not answered (deadlines.close)' })
    })

    test(`the ${side} owes nothing after its Close: it is not idle while the other takes its time, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, (said) => said.accept())
      const gate = await startGate(t, [options(upstream.port, `close: 30s, ${side}Idle: 300ms`)])
      const client = await rawClient(t, gate.port)
      const [said] = upstream.conversations
      const [first, second] = side === 'client' ? [client, said!] : [said!, client]
      await first.sendFrame({ opcode: 'close', payload: closePayload(4321) })
      t.match(await second.nextFrame(), { opcode: 'close', code: 4321 })
      await rawClient(t, gate.port)
      // Another one has been quiet for so long.
      await eventually(() => [...gate.registry].some((open) => open.end?.reason === 'idle_timeout'))
      await second.sendFrame({ opcode: 'close', payload: closePayload(4321) })
      t.match(await first.nextFrame(), { opcode: 'close', code: 4321 })
      await partWell(first, second)
      t.match(await gate.end(), { reason: 'eof', side, detail: 'code 4321' })
    })
  }
