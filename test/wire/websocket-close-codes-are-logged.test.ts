import { test } from 'tap'
import type { Test } from 'tap'
import { within } from '../support/eventually.ts'
import { closePayload } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

type Said = Parameters<Parameters<typeof scriptedUpstream>[1]>[0]

async function gateOf(t: Test, mode: string, serve: (said: Said) => Promise<unknown>): Promise<Gate> {
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    await serve(said)
  })
  return startGate(t, [
    `protocol: http, websocket: { mode: ${mode} }, upstream: "127.0.0.1:${upstream.port}"`,
  ])
}

const codesOf = ({ line }: { line: Record<string, unknown> }): unknown[] => [
  line['closedFirst'],
  line['clientCode'],
  line['upstreamCode'],
]
const close = (code: number) => ({ opcode: 'close', payload: closePayload(code) }) as const

for (const mode of ['frames', 'messages'] as const) {
  test(`the log has the code of each side and which came first, ${mode}`, async (t) => {
    watchLeaks(t)
    const gate = await gateOf(t, mode, async (said) => {
      t.match(await said.nextFrame(), { opcode: 'close', code: 4321 })
      await said.sendFrame(close(4000))
      said.wire.end()
    })
    const client = await rawClient(t, gate.port)
    await client.sendFrame(close(4321))
    await within(client.closed)
    t.same(codesOf(await gate.end()), ['client', 4321, 4000])
  })

  test(`a code that the service answers with FIN alone is not lost, ${mode}`, async (t) => {
    watchLeaks(t)
    const gate = await gateOf(t, mode, async (said) => {
      await said.nextFrame()
      said.wire.end()
    })
    const client = await rawClient(t, gate.port)
    await client.sendFrame(close(4321))
    await within(client.closed)
    t.same(codesOf(await gate.end()), ['client', 4321, undefined])
  })

  test(`a Close without a code is told from none, and the first is the first, ${mode}`, async (t) => {
    watchLeaks(t)
    const gate = await gateOf(t, mode, async (said) => {
      await said.sendFrame({ opcode: 'close' })
      await within(said.wire.ended)
      said.wire.end()
    })
    const client = await rawClient(t, gate.port)
    await client.nextFrame()
    await client.sendFrame(close(1000))
    await within(client.closed)
    t.same(codesOf(await gate.end()), ['upstream', 1000, 1005])
  })

  test(`a peer that answers a Close of ours has not begun, ${mode}`, async (t) => {
    watchLeaks(t)
    const gate = await gateOf(t, mode, async (said) => {
      t.match(await said.nextFrame(), { opcode: 'close', code: 1001 })
      await said.sendFrame(close(1001))
      said.wire.end()
    })
    const client = await rawClient(t, gate.port)
    client.wire.end()
    await within(client.closed)
    const end = await gate.end()
    t.match(end, { reason: 'aborted', side: 'client' })
    t.same(codesOf(end), ['sidegate', undefined, 1001])
  })

  test(`an end without a Close frame has no codes, and keeps the reason that it has, ${mode}`, async (t) => {
    watchLeaks(t)
    const gate = await gateOf(t, mode, async (said) => within(said.wire.closed))
    const client = await rawClient(t, gate.port)
    client.wire.reset()
    const end = await gate.end()
    t.same(codesOf(end), [undefined, undefined, undefined])
    t.match(end, { reason: 'reset', side: 'client' })
  })
}

test('other protocols have no such fields', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port)
  client.end('x')
  await within(client.closed)
  t.notOk(Object.keys((await gate.end()).line).some((key) => /Code$|closedFirst/.test(key)))
})
