// Clients whose connection the kernel has completed when the listeners close: they wait for their accept, one in a turn
// of the event loop, and a closed listener resets them.

import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'

const CLIENTS = 40
const times = { minDurationMs: 0, spreadMs: 20_000, timeoutMs: 60_000 }
/** Connections are asked to go at the end of the spread: each has asked for its answer by then. */
const late = { random: () => 0.999 }

test('clients that wait for their accept when a drain closes the listeners are served', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], late)
  const coming = Array.from({ length: CLIENTS }, () => httpClient(t, gate.port))
  // The kernel completes them in this turn; the gate has accepted none.
  await new Promise<void>((resolve) => process.nextTick(resolve))
  const drained = gate.operator.drain('admin', times)
  const clients = await Promise.all(coming)
  const answers = await within(Promise.all(clients.map((client) => client.get(get()))), { withinMs: 10_000 })
  for (const { status, header } of answers) t.same([status, header('connection')], [200, 'close'])
  for (const { wire } of clients) {
    await wire.ended
    wire.end()
  }
  t.match(await drained, { cut: 0, forced: 0 })
  await t.rejects(connect(t, gate.port), { code: 'ECONNREFUSED' })
})
