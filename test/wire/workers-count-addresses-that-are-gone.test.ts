// Addresses that a reload takes out of the configuration while they have connections, which several workers hold: the metric and the history
// count each once, as the listing does, whichever workers have it.

import { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'

const LONG = { withinMs: 20_000 }
const ADDRESSES = 8

test('addresses that are gone are counted once over all workers: apart, where each worker has others, and together', async (t) => {
  watchLeaks(t, LONG)
  const services = await Promise.all(Array.from({ length: ADDRESSES + 1 }, () => echo(t)))
  const left = services.pop()!
  const all = services.map(({ port }) => `"127.0.0.1:${port}"`).join(', ')
  const listeners = (addresses: string, places: string): string[] => [
    `protocol: tcp, upstream: { addresses: [${addresses}], maxConnections: ${places} }`,
  ]
  const gate = await startGate(t, listeners(all, '2'), { workers: 2 })
  const wires = []
  // Two at each address: some of both workers, some of one.
  for (let nth = 0; nth < 2 * ADDRESSES; nth++) {
    const wire = await connect(t, gate.port)
    await wire.write('x')
    await wire.read(1, LONG)
    wires.push(wire)
  }
  t.match(await gate.reload(listeners(`"127.0.0.1:${left.port}"`, 'off')), { result: 'success' })
  const gone = async (): Promise<number | undefined> =>
    readSamples(await gate.metrics()).get('sidegate_upstream_targets', { listener: 'l0', state: 'gone' })
  t.equal(await gone(), ADDRESSES)
  t.notMatch(await gate.metrics(), new RegExp(`127.0.0.1:${services[0]!.port}`), 'an address is no label')
  const [view] = (await (await fetch(`http://127.0.0.1:${gate.adminPort}/upstreams`)).json()) as [
    { targets: Array<{ state: string }> },
  ]
  t.equal(view.targets.filter(({ state }) => state === 'gone').length, ADDRESSES)
  for (const wire of wires) wire.end()
  await eventually(async () => (await gone()) === 0, LONG)
})
