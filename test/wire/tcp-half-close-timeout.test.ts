import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, finsFirst, listen, neverCloses } from '../support/peers.ts'
import type { Closed, Wire } from '../support/wire.ts'

const deadlines = 'deadlines: { halfClose: 200ms }'

/** Node no longer reads a socket once it has seen FIN: only a write finds the RST. */
async function ended(wire: Wire): Promise<Closed> {
  await eventually(() => wire.outcome !== null || (void wire.write('?'), false))
  return wire.closed
}

test('an upstream that ignores the end of its input is ended with half_close_timeout, both by RST', async (t) => {
  watchLeaks(t)
  const upstream = await neverCloses(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`])
  const client = await connect(t, gate.port, { halfOpen: true })
  client.end('bye')
  t.match(await gate.end(), { reason: 'half_close_timeout', side: 'upstream', phase: 'relay' })
  t.same(await within(client.closed), { kind: 'reset', code: 'ECONNRESET' })
  t.match(await ended(await upstream.connection()), { kind: 'reset' })
})

test('a client that never ends after the upstream did is ended with half_close_timeout', async (t) => {
  watchLeaks(t)
  const upstream = await finsFirst(t, 'bye')
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`])
  const client = await connect(t, gate.port, { halfOpen: true })
  await client.ended
  t.match(await gate.end(), { reason: 'half_close_timeout', side: 'client', phase: 'relay' })
  t.same(await within((await upstream.connection()).closed), { kind: 'reset', code: 'ECONNRESET' })
  t.match(await ended(client), { kind: 'reset' })
})

test('an answer that still flows after the end of the request outlives five such deadlines', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => {
    const timer = setInterval(() => void wire.write('.'), 20)
    void wire.closed.then(() => clearInterval(timer))
    setTimeout(() => (clearInterval(timer), wire.end('!')), 1000)
  })
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`])
  const client = await connect(t, gate.port, { halfOpen: true })
  client.end('go on')
  t.match((await within(client.received)).toString(), /^\.+!$/)
  t.match(await gate.end(), { reason: 'eof', side: 'client' })
})
