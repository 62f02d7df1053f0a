import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, trickler } from '../support/peers.ts'

test('a pair is ended with lifetime_timeout however busy it is, by FIN, and not before its time', async (t) => {
  watchLeaks(t)
  const upstream = await trickler(t, 100, 5)
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { lifetime: 300ms }`],
    { random: () => 0 },
  )
  const client = await connect(t, gate.port)
  t.same(await within(client.closed), { kind: 'fin', code: null })
  const { reason, side, phase, line } = await gate.end()
  t.same({ reason, side, phase }, { reason: 'lifetime_timeout', side: 'sidegate', phase: 'relay' })
  const ms = line['durationMs'] as number
  t.ok(ms >= 295, `${ms} ms`)
})

test('the jitter of a lifetime only shortens it', async (t) => {
  watchLeaks(t)
  const upstream = await trickler(t, 100, 5)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { lifetime: 4s, lifetimeJitter: 50% }`,
    ],
    { random: () => 1 },
  )
  await connect(t, gate.port)
  const { reason, line } = await gate.end()
  t.equal(reason, 'lifetime_timeout')
  const ms = line['durationMs'] as number
  t.ok(ms >= 1990 && ms < 4000, `${ms} ms`)
})

test('without a lifetime a busy pair goes on', async (t) => {
  watchLeaks(t)
  const upstream = await trickler(t, 100, 5)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { lifetime: off, idle: 200ms }`,
  ])
  const client = await connect(t, gate.port)
  await new Promise((resolve) => setTimeout(resolve, 700))
  t.same(gate.lines, [])
  client.end()
  t.match(await gate.end(), { reason: 'eof' })
})
