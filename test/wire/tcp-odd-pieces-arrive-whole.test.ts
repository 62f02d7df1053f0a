import { test } from 'tap'
import { pattern } from '../support/bytes.ts'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, slicer } from '../support/peers.ts'

for (const high of ['4KiB', '64KiB']) {
  test(`pieces of 1 to 13 bytes arrive whole, in order, and with the end behind them: high ${high}`, async (t) => {
    watchLeaks(t)
    const upstream = await slicer(t)
    const gate = await startGate(t, [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", buffers: { high: ${high} }`,
    ])
    const client = await connect(t, gate.port, { halfOpen: true })
    const bytes = pattern(5000, 1)
    for (let at = 0; at < bytes.length; at += 1 + (at % 500))
      await client.write(bytes.subarray(at, at + 1 + (at % 500)))
    client.end()
    t.ok(bytes.equals(await within(client.received)))
    t.match(await gate.end(), {
      reason: 'eof',
      side: 'client',
      line: { bytesToUpstream: 5000, bytesToClient: 5000 },
    })
  })
}
