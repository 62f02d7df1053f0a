// The questions of the admin server to the gate, over real connections: each question once.

import { test } from 'tap'
import { ask } from '../admin/admin.ts'
import type { Row } from '../admin/admin.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'

const CLIENTS = 5

test('listing, counts, listeners, upstreams, metrics and one in full tell of the same connections', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const get = async <T = Row>(path: string): Promise<T> =>
    JSON.parse((await ask(gate.adminPort, path, {}, 'GET')).body) as T
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(t, gate.port)))
  for (const client of clients) {
    void client.write('x')
    await client.read(1)
  }
  const rows = await get<Row[]>('/connections?sort=age')
  t.equal(rows.length, CLIENTS)
  t.same(
    rows.map(({ id }) => id),
    [1, 2, 3, 4, 5],
    'the oldest first',
  )
  t.same(
    (await get<Row[]>('/connections?limit=2&sort=rate')).map(({ listener }) => listener),
    ['l0', 'l0'],
  )
  t.match(await get(`/connections/${String(rows[0]!['id'])}`), { listener: 'l0', tls: null, close: null })
  t.match(await get('/info'), {
    connections: CLIENTS,
    phases: { relay: CLIENTS },
    protocols: { tcp: CLIENTS },
  })
  t.match(await get('/listeners'), [{ name: 'l0', protocol: 'tcp', connections: CLIENTS }])
  t.match(await get('/upstreams'), [{ listener: 'l0', targets: [{ open: CLIENTS }] }])
  const samples = readSamples(await gate.metrics())
  t.equal(samples.get('sidegate_connections', { listener: 'l0', protocol: 'tcp', side: 'client' }), CLIENTS)
  t.equal(samples.get('sidegate_receive_bytes_total', { listener: 'l0', side: 'client' }), CLIENTS)
})

test('a level that is set at the admin server holds for what the gate says', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const pass = async (): Promise<void> => {
    const client = await connect(t, gate.port)
    void client.write('x')
    await client.read(1)
    client.reset()
    await eventually(() => gate.registry.size === 0)
  }
  await pass()
  await gate.end()
  await ask(gate.adminPort, '/log?level=warn', {}, 'POST')
  await pass()
  await ask(gate.adminPort, '/log?level=info', {}, 'POST')
  await pass()
  await gate.end(1)
  t.equal(gate.lines.length, 2, 'nothing was said at info in between')
})
