import { test } from 'tap'
import { pattern } from '../support/bytes.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, halfCloser, listen } from '../support/peers.ts'

test('an upstream that answers only after the end of its input is heard', async (t) => {
  watchLeaks(t)
  const upstream = await halfCloser(t, (request) => `${request.toString()} was all`)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port, { halfOpen: true })
  client.end('this')
  t.equal((await within(client.received)).toString(), 'this was all')
  t.same(await client.closed, { kind: 'fin', code: null })
  t.match(await gate.end(), { reason: 'eof', side: 'client', phase: 'relay' })
})

test('a large request and a large answer both arrive whole when the client ends its half at once', async (t) => {
  watchLeaks(t)
  const answer = pattern(9_000_000, 2)
  const upstream = await halfCloser(t, () => answer)
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port, { halfOpen: true })
  const request = pattern(9_000_000, 1)
  client.end(request)
  t.ok(answer.equals(await within(client.received, { withinMs: 20_000 })))
  t.ok(request.equals(await (await upstream.connection()).received))
  t.match(await gate.end(), { reason: 'eof', side: 'client' })
})

test('an upstream may end first, and what the client goes on to say is delivered', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, (wire) => wire.end('hello'))
  const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`])
  const client = await connect(t, gate.port, { halfOpen: true })
  t.equal((await within(client.received)).toString(), 'hello')
  const seen = await upstream.connection()
  await client.write('still ')
  await eventually(() => seen.bytes === 6)
  t.equal(seen.hasEnded, false)
  client.end('here')
  t.equal((await within(seen.received)).toString(), 'still here')
  t.same(await seen.closed, { kind: 'fin', code: null })
  t.match(await gate.end(), { reason: 'eof', side: 'upstream', phase: 'relay' })
})
