import { test } from 'tap'
import type { Network } from '../support/netns.ts'
import { file, options, reader, scene } from './netns-scene.ts'

for (const [what, spoil, total] of [
  // Five retransmissions of one packet in a row that are lost as well take longer than the deadline.
  ['10 % of the packets lost', (net: Network) => net.lose('client', 0.1), 9_000_000],
  ['a link of 1 Mbit/s', (net: Network) => net.slow('client', 1000), 700_000],
] as const) {
  test(`${what}: a transfer that goes on outlives its write deadline, and is whole`, options, async (t) => {
    const { net, end } = await scene(t, 'tcp', 'deadlines: { write: 4s }', {
      upstream: [file, String(total)],
      client: null,
    })
    spoil(net)
    const start = performance.now()
    const client = net.run('client', reader)
    t.match(await client.said('whole', { withinMs: 60_000 }), `whole ${total} `)
    t.match(await end(), { close: 'eof', bytesToClient: total, sentToClient: total })
    t.comment(`${((performance.now() - start) / 1000).toFixed(1)} s`)
  })
}
