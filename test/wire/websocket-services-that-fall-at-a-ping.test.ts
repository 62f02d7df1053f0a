import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { closePayload } from '../support/frames.ts'
import type { FrameSpec } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { rawClient, scriptedUpstream } from '../support/websocket.ts'

const modes = ['frames', 'messages'] as const

const pings = (interval: string, mode: 'frames' | 'messages' = 'frames', to = 'both'): string =>
  `websocket: { mode: ${mode}, ping: { interval: ${interval}, timeout: ${interval}, misses: 1, to: ${to} } }, deadlines: { close: 500ms }`

const isPing = ({ opcode }: { opcode: unknown }): boolean => opcode === 'ping'

const falls: Array<[kind: string, answer: FrameSpec[] | 'fin' | 'reset', reason: string, detail: RegExp]> = [
  [
    'closes',
    [{ opcode: 'close', payload: closePayload(1003) }],
    'eof',
    /^code 1003.*, within a second of a ping of ours \(websocket\.ping\.to\)$/,
  ],
  [
    'answers in a fragment',
    [{ opcode: 'pong', fin: false }],
    'protocol_error',
    /fragmented control frame, within a second of a ping/,
  ],
  ['ends without a word', 'fin', 'aborted', /within a second of a ping of ours/],
  ['resets', 'reset', 'reset', /within a second of a ping of ours/],
]

for (const [kind, answer, reason, detail] of falls)
  for (const mode of modes) {
    test(`a service that ${kind} at a ping gets none on loopback; where it is told to get them, the detail of its end says so, ${mode}`, async (t) => {
      watchLeaks(t)
      const upstream = await scriptedUpstream(t, async (said) => {
        await said.accept()
        for (;;) {
          const frame = await said.nextFrame({ withinMs: 60_000 })
          if (frame.opcode !== 'ping') continue
          if (answer === 'fin') return said.wire.end()
          if (answer === 'reset') return said.wire.reset()
          for (const spec of answer) await said.sendFrame(spec)
        }
      })
      const listener = `protocol: http, upstream: "127.0.0.1:${upstream.port}", `
      const gate = await startGate(t, [
        `${listener} websocket: { mode: ${mode}, ping: { interval: 50ms } }, deadlines: { close: 500ms }`,
      ])
      const spared = await rawClient(t, gate.port)
      await eventually(() => spared.frames().filter(isPing).length >= 4, { what: 'pings to the client' })
      t.same([gate.lines.length, upstream.conversations[0]!.frames()], [0, []])
      spared.wire.destroy()
      await gate.end(0)
      await gate.reload([`${listener} ${pings('100ms', mode, 'upstream')}`])
      const client = await rawClient(t, gate.port)
      t.match(await gate.end(1), { reason, side: 'upstream', detail })
      t.same(client.frames().filter(isPing), [], 'nor does the client get any')
      client.wire.destroy()
    })
  }

test('an end of a service long after our ping, or of one that answered it, has nothing to do with it', async (t) => {
  watchLeaks(t)
  const upstream = await scriptedUpstream(t, async (said) => {
    await said.accept()
    const { payload } = await said.nextFrame()
    await said.sendFrame({ opcode: 'pong', payload })
    await said.sendFrame({ opcode: 'close', payload: closePayload(1001) })
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", ${pings('100ms')}`,
  ])
  const client = await rawClient(t, gate.port)
  t.match(await eventually(() => client.frames().find(({ opcode }) => opcode === 'close')), { code: 1001 })
  await client.sendFrame({ opcode: 'close', payload: closePayload(1001) })
  t.equal((await gate.end()).detail, 'code 1001')
})
