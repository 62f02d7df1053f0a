import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'

test('an upstream that has not taken the whole request owes no answer yet: it ends by write, not by response', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await listen(t, () => {}, { unread: true, into: { write: () => {} } })
  const gate = await startGate(t, [
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", buffers: { high: 16MiB }, deadlines: { response: 100ms, write: 1s }`,
  ])
  const client = await httpClient(t, gate.port)
  const body = Buffer.alloc(12_000_000)
  await client.send(get('/', `Content-Length: ${body.length}\r\n`, 'POST'))
  void client.send(body)
  await eventually(() => gate.open().toUpstream.received > body.length, { what: 'the whole request here' })
  t.ok(gate.open().owner!.queued('upstream') > 0, 'and not there')
  t.match(await gate.end(), { reason: 'write_timeout', side: 'upstream' })
})
