import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { closePayload } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream, wsClient } from '../support/websocket.ts'

for (const mode of ['frames', 'messages'] as const) {
  const settings = `protocol: http, websocket: { mode: ${mode} }`

  test(`a service that answers a Close without a code by 1005 ends as any other, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      t.match(await said.nextFrame(), { opcode: 'close', payload: Buffer.alloc(0) })
      await said.sendFrame({ opcode: 'close', payload: closePayload(1005) })
      said.wire.end()
    })
    const gate = await startGate(t, [`${settings}, upstream: "127.0.0.1:${upstream.port}"`])
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    client.socket.close()
    t.same(await within(client.closed), { code: 1005, reason: '' })
    t.match(await gate.end(), {
      reason: 'eof',
      side: 'client',
      detail: 'no code',
      line: { clientCode: 1005, upstreamCode: 1005 },
    })
  })

  test(`a service that begins with 1005 closes without a code for its client, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await said.sendFrame({ opcode: 'text', payload: 'before' })
      await said.sendFrame({ opcode: 'close', payload: closePayload(1005, 'why') })
      t.match(await said.nextFrame(), { opcode: 'close' })
      said.wire.end()
    })
    const gate = await startGate(t, [`${settings}, upstream: "127.0.0.1:${upstream.port}"`])
    const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
    t.same(await within(client.closed), { code: 1005, reason: '' })
    t.same(
      client.messages.map(({ data }) => data.toString()),
      ['before'],
    )
    t.match(await gate.end(), { reason: 'eof', side: 'upstream', detail: 'no code' })
  })

  test(`a code that no standard knows reaches the client, and its answer the service, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await said.sendFrame({ opcode: 'close', payload: closePayload(5000, 'session over') })
      t.match(await said.nextFrame(), { opcode: 'close', code: 5000 })
      said.wire.end()
    })
    const gate = await startGate(t, [`${settings}, upstream: "127.0.0.1:${upstream.port}"`])
    const client = await rawClient(t, gate.port)
    t.match(await client.nextFrame(), { opcode: 'close', code: 5000, reason: 'session over' })
    // A browser answers with the code that it was given.
    await client.sendFrame({ opcode: 'close', payload: closePayload(5000, 'session over') })
    await within(client.closed)
    t.match(await gate.end(), { reason: 'eof', side: 'upstream', detail: 'code 5000' })
  })

  test(`a client that begins with such a code breaks a rule, ${mode}`, async (t) => {
    watchLeaks(t)
    const upstream = await scriptedUpstream(t, async (said) => {
      await said.accept()
      await within(said.wire.ended)
      said.wire.end()
    })
    const gate = await startGate(t, [`${settings}, upstream: "127.0.0.1:${upstream.port}"`])
    const client = await rawClient(t, gate.port)
    await client.sendFrame({ opcode: 'close', payload: closePayload(5000) })
    t.match(await client.nextFrame(), { opcode: 'close', code: 1002 })
    await within(client.closed)
    t.match(await gate.end(), { reason: 'protocol_error', side: 'client', detail: 'close code 5000' })
  })
}
