import { test } from 'tap'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, refuser } from '../support/peers.ts'
import { backlogFull, frozen } from '../support/processes.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { readSamples } from '../metrics/samples.ts'

const RESET = { kind: 'reset', code: 'ECONNRESET' }

test('a refused dial ends the client with connect_refused, by RST and at once', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: { addresses: ["127.0.0.1:${refuser(t).port}"], retryFor: off }`,
  ])
  const watch = stopwatch(t)
  const client = await connect(t, gate.port)
  void client.write('hello?')
  t.same(await within(client.closed), RESET)
  t.equal(client.hasEnded, false, 'no FIN, which would look like an empty answer')
  t.ok(watch.livedMs < 1000, `${watch.livedMs} of ${watch.ms} ms`)
  t.match(await gate.end(), {
    reason: 'connect_refused',
    side: 'upstream',
    phase: 'connect',
    detail: 'ECONNREFUSED',
  })
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'connect_refused',
    }),
    1,
  )
})

test('a dial that hangs ends the client with connect_timeout, by RST', async (t) => {
  watchLeaks(t)
  const upstream = await backlogFull(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 200ms }`,
  ])
  const client = await connect(t, gate.port)
  void client.write('hello?')
  t.same(await within(client.closed), RESET)
  const { reason, side, phase, line } = await gate.end()
  t.same({ reason, side, phase }, { reason: 'connect_timeout', side: 'upstream', phase: 'connect' })
  t.ok(
    (line['durationMs'] as number) >= 190 && (line['durationMs'] as number) < 1200,
    `${String(line['durationMs'])} ms`,
  )
})

test('an upstream that is connected but says nothing for long is not ended with connect_timeout', async (t) => {
  watchLeaks(t)
  const upstream = await frozen(t)
  await upstream.freeze()
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", deadlines: { connect: 250ms }`,
  ])
  const client = await connect(t, gate.port)
  await client.write('hello?')
  await new Promise((resolve) => setTimeout(resolve, 600))
  upstream.thaw()
  t.equal((await client.read(6)).toString(), 'hello?')
  client.end()
  t.match(await gate.end(), { reason: 'eof' })
})

test('a name that does not exist ends the client with connect_failed or, with a slow resolver, connect_timeout', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [
    'protocol: tcp, upstream: "no-such-host.invalid:80", deadlines: { connect: 2s }',
  ])
  // Where the name was looked up before, RST may come before the client knows that it is connected.
  const closed = connect(t, gate.port).then(
    (client) => client.closed,
    ({ code }: NodeJS.ErrnoException) => ({ kind: 'reset', code }),
  )
  t.same(await within(closed), RESET)
  const { reason, side, phase, detail } = await gate.end()
  t.same({ side, phase }, { side: 'upstream', phase: 'connect' })
  if (reason === 'connect_failed') t.match(detail, /^(ENOTFOUND|EAI_AGAIN)$/)
  else t.equal(reason, 'connect_timeout')
})

test('a name of which only one address answers is connected', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, upstream: "localhost:${upstream.port}"`])
  const client = await connect(t, gate.port)
  await client.write('which?')
  t.equal((await client.read(6)).toString(), 'which?')
  client.end()
  t.match(await gate.end(), { reason: 'eof', line: { upstream: `localhost:${upstream.port}` } })
})
