import { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'

for (const protocol of ['tcp', 'http']) {
  test(`${protocol}: a load balancer that looks whether the port is there is counted and not logged, whether it says FIN or RST; a client that spoke is logged`, async (t) => {
    watchLeaks(t)
    const upstream = await echo(t)
    const listener = `protocol: ${protocol}, upstream: "127.0.0.1:${upstream.port}"`
    const gate = await startGate(t, [listener])
    const closed = async (): Promise<number> => {
      const samples = readSamples(await gate.metrics())
      return ['eof', 'reset', 'aborted'].reduce(
        (sum, reason) =>
          sum +
          (samples.get('sidegate_connections_closed_total', {
            listener: 'l0',
            protocol,
            side: 'client',
            reason,
          }) ?? 0),
        0,
      )
    }
    const probe = async (by: 'end' | 'reset', nth: number): Promise<void> => {
      const client = await connect(t, gate.port)
      await eventually(() => gate.registry.size === 1)
      client[by]()
      await eventually(async () => (await closed()) === nth)
    }
    await gate.reload([listener], 'log: { probes: false }')
    await probe('end', 1)
    await probe('reset', 2)
    t.same(gate.lines, [])
    await gate.reload([listener], 'log: { probes: true }')
    await probe('end', 3)
    t.match(await gate.end(), { reason: 'eof', side: 'client' })
    await gate.reload([listener], 'log: { probes: false }')
    const client = await connect(t, gate.port)
    void client.write('GET')
    if (protocol === 'tcp') await client.read(3)
    client.end()
    await within(client.closed)
    await gate.end(1)
  })
}
