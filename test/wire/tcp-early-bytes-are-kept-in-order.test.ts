import { test } from 'tap'
import { pattern, sha256 } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { kernelQueues } from '../support/netstat.ts'
import { connect, echo } from '../support/peers.ts'
import { slowAccept } from '../support/slow-accept.ts'

const HIGH = 65_536
/** A quarter of it, and one read. */
const KEPT = HIGH / 4 + HIGH

for (const total of [100, 40_000, 12_000_000]) {
  test(`${total} bytes that a client sends while its upstream is dialled arrive in order, its end behind them`, async (t) => {
    watchLeaks(t)
    const upstream = await slowAccept(t)
    const gate = await startGate(t, [
      `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 20s }`,
    ])
    const client = await connect(t, gate.port, { halfOpen: true })
    void client.flood({ total, seed: total, chunk: 10_007 })
    const clientPort = client.socket.localPort!
    const kept = (): number => {
      const ours = kernelQueues(gate.port, clientPort)
      return ours === null ? 0 : client.sent - ours.unread
    }
    if (total < HIGH) await eventually(() => kept() >= total)
    else await client.stalled()
    t.equal(gate.open().phase, 'connect')
    // The bytes that the client's kernel has sent are in ours or in the gate; those that it has not make the count only too high.
    const unsent = kernelQueues(clientPort, gate.port)!.unsent
    t.ok(kept() - unsent <= KEPT, `${kept() - unsent} bytes are kept`)
    upstream.accept()
    t.same(await within(upstream.received, { withinMs: 15_000 }), {
      bytes: total,
      sha256: sha256(pattern(total, total)),
    })
    t.match(await gate.end(), { reason: 'eof', side: 'client', line: { bytesToUpstream: total } })
  })
}

test('bytes that come with the connection itself are relayed once', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  for (let nth = 0; nth < 50; nth += 1) {
    const client = await connect(t, gate.port, { halfOpen: true })
    const bytes = pattern(nth * 97 + 1, nth)
    client.end(bytes)
    t.ok(bytes.equals(await within(client.received)))
  }
})
