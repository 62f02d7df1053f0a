import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { heldBack } from '../support/held-back.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, flooder, listen } from '../support/peers.ts'
import { stopwatch } from '../support/stopwatch.ts'

const deadlines = 'deadlines: { write: 200ms }'
const RESET = { kind: 'reset', code: 'ECONNRESET' }
const nowhere = { write: () => {} }
/** From the moment at which the gate holds the sender back: the deadline and two seconds. */
const BOUND_MS = 200 + 2000

test('a client that takes nothing while it is sent to is ended with write_timeout, both by RST', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`])
  const client = await connect(t, gate.port, { unread: true, into: nowhere })
  const seen = await upstream.connection()
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_client')
  const watch = stopwatch(t)
  t.same(await within(seen.closed), RESET)
  t.ok(watch.livedMs < BOUND_MS, `${watch.livedMs} of ${watch.ms} ms`)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client', phase: 'relay' })
  client.resumeReading()
  t.same(await within(client.closed), RESET)
  t.equal(client.hasEnded, false)
})

test('an upstream that takes nothing while it is sent to is ended with write_timeout, both by RST', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, () => {}, { unread: true, into: nowhere })
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`])
  const client = await connect(t, gate.port)
  void client.flood()
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_upstream')
  const watch = stopwatch(t)
  t.same(await within(client.closed), RESET)
  t.ok(watch.livedMs < BOUND_MS, `${watch.livedMs} of ${watch.ms} ms`)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'upstream', phase: 'relay' })
  const seen = await upstream.connection()
  seen.resumeReading()
  t.same(await within(seen.closed), RESET)
})

test('bytes that flow the other way do not hide that a client takes nothing', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`])
  const client = await connect(t, gate.port, { unread: true })
  const timer = setInterval(() => void client.write('more'), 10)
  t.teardown(() => clearInterval(timer))
  const seen = await upstream.connection()
  await heldBack(await eventually(() => gate.registry.get(1)), 'to_client')
  const watch = stopwatch(t)
  t.same(await within(seen.closed), RESET)
  t.ok(watch.livedMs < BOUND_MS, `${watch.livedMs} of ${watch.ms} ms`)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'client' })
  t.ok(seen.bytes > 0, 'the other direction did flow')
})

test('bytes that flow the other way do not hide that an upstream takes nothing', async (t) => {
  watchLeaks(t)
  const upstream = await listen(
    t,
    (wire) => {
      const timer = setInterval(() => void wire.write('more'), 10)
      void wire.closed.then(() => clearInterval(timer))
    },
    { unread: true },
  )
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`])
  const client = await connect(t, gate.port)
  void client.flood()
  t.same(await within(client.closed), RESET)
  t.match(await gate.end(), { reason: 'write_timeout', side: 'upstream' })
  t.ok(client.bytes > 0, 'the other direction did flow')
})

test('two peers that both send and take nothing end each other by write_timeout', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => wire.flood(), { unread: true })
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${deadlines}`])
  const client = await connect(t, gate.port, { unread: true })
  void client.flood()
  t.match(await gate.end(), { reason: 'write_timeout', phase: 'relay' })
  t.equal(gate.registry.size, 0)
})

test('a client that was sent all and is idle is not ended with write_timeout', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => wire.write('little'))
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { write: 50ms }`,
  ])
  const client = await connect(t, gate.port, { unread: true })
  await new Promise((resolve) => setTimeout(resolve, 500))
  client.resumeReading()
  t.equal((await client.read(6)).toString(), 'little')
  client.end()
  ;(await upstream.connection()).end()
  t.match(await gate.end(), { reason: 'eof' })
})
