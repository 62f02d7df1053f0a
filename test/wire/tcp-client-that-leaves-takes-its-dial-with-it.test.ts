import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { leaks, resources, watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'

test('a client that resets while its upstream is dialled takes the dial with it, long before the dial would end', async (t) => {
  watchLeaks(t)
  const upstream = await backlogFull(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 20s }`,
  ])
  const before = resources()
  const client = await connect(t, gate.port)
  await client.write('early')
  await eventually(() => gate.open().phase === 'connect')
  await eventually(() =>
    leaks(before).some((leak) => leak.startsWith('TCPConnectWrap') || leak.startsWith('fd: ')),
  )
  client.reset()
  // Both within the five seconds of a wait, where the dial has twenty.
  await eventually(() => gate.registry.size === 0)
  await eventually(() => leaks(before).length === 0, { what: 'the descriptors of both sides' })
  t.match(await gate.end(), { reason: 'reset', side: 'client', phase: 'connect' })
})
