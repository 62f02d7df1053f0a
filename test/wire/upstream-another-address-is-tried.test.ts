import { readFileSync } from 'node:fs'
import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get, httpClient, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, listen, refuser } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import { stillClock } from '../support/still-clock.ts'
import { stopwatch } from '../support/stopwatch.ts'
import { wsClient, wsServer } from '../support/websocket.ts'
import { readSamples } from '../metrics/samples.ts'

/** The gate tries each address once. */
const of = (...ports: number[]) =>
  `upstream: { addresses: [${ports.map((port) => `"127.0.0.1:${port}"`).join(', ')}], retryFor: off }`

/** The answer to a client that says hello. */
async function hello(t: Test, gate: Gate): Promise<string> {
  const client = await connect(t, gate.port)
  client.end('hello')
  return (await within(client.received)).toString()
}

test('tcp: an address that refuses costs a client nothing, and what it sent early is kept', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(t, [`protocol: tcp, ${of(refuser(t).port, upstream.port)}`])
  const client = await connect(t, gate.port)
  client.end('early bytes')
  t.equal((await within(client.received)).toString(), 'early bytes')
  t.match(await gate.end(), { reason: 'eof', line: { upstream: `127.0.0.1:${upstream.port}` } })
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'connect_refused',
    }),
    1,
  )
  for (let nth = 1; nth < 5; nth++) {
    const next = await connect(t, gate.port)
    next.end('again')
    t.equal((await within(next.received)).toString(), 'again')
    await gate.end(nth)
  }
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'connect_refused',
    }),
    1,
    'it is avoided from then on',
  )
})

test('tcp: an address that swallows packets takes half of deadlines.connect, and the next one has the rest', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const blackhole = await backlogFull(t)
  const gate = await startGate(t, [
    `protocol: tcp, ${of(blackhole.port, upstream.port)}, deadlines: { connect: 2s }`,
  ])
  const client = await connect(t, gate.port)
  const watch = stopwatch(t)
  client.end('hello')
  t.equal((await within(client.received)).toString(), 'hello')
  t.ok(watch.ms > 900 && watch.livedMs < 1800, `${watch.livedMs} of ${watch.ms} ms`)
  t.match(await gate.end(), { reason: 'eof' })
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'connect_timeout',
    }),
    1,
  )
})

test('no client waits for an address that swallows packets a second time: the gate looks there first', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const blackhole = await backlogFull(t)
  const clock = stillClock()
  const gate = await startGate(t, [`protocol: tcp, ${of(blackhole.port, upstream.port)}`], { clock })
  const say = (): Promise<string> => hello(t, gate)
  const first = say()
  await eventually(() => gate.registry.size === 1)
  // Half of deadlines.connect.
  clock.pass(2500)
  t.equal(await first, 'hello')
  for (let look = 0; look < 2; look++) {
    clock.pass(10_000)
    // No time passes: a client that waited for a dial there would wait for ever.
    t.same(await Promise.all([say(), say(), say()]), ['hello', 'hello', 'hello'])
  }
})

test('a reload that takes out an avoided address, while the gate looks there, costs nobody anything and leaves nothing behind', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const blackhole = await backlogFull(t)
  // Those that fill its backlog.
  const others = dialsTo(blackhole.port)
  const clock = stillClock()
  const both = `protocol: tcp, ${of(blackhole.port, upstream.port)}, deadlines: { connect: 1m }`
  const gate = await startGate(t, [both], { clock })
  const say = (): Promise<string> => hello(t, gate)
  const first = say()
  await eventually(() => gate.registry.size === 1)
  clock.pass(30_000)
  t.equal(await first, 'hello')
  const stays = await connect(t, gate.port)
  await stays.write('x')
  await stays.read(1)
  clock.pass(10_000)
  t.equal(await say(), 'hello')
  await eventually(() => dialsTo(blackhole.port) === others + 1, { what: 'a look' })
  t.match(await gate.reload([`protocol: tcp, ${of(upstream.port)}`]), { result: 'success' })
  t.same(await Promise.all([say(), say()]), ['hello', 'hello'])
  await stays.write('y')
  t.equal((await stays.read(1)).toString(), 'y', 'who was there stays')
  stays.end()
  await within(stays.closed)
  await eventually(() => dialsTo(blackhole.port) === others, { what: 'the end of the look' })
  const targets = readSamples(await gate.metrics()).sum('sidegate_upstream_targets', { listener: 'l0' })
  t.equal(targets, 1)
  t.same([...new Set(gate.lines.map(({ close }) => close))], ['eof'])
})

/** Connections to that port of loopback that nobody has accepted or refused. */
function dialsTo(port: number): number {
  const to = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const [SYN_SENT, rows] = ['02', readFileSync('/proc/net/tcp', 'utf8').split('\n')]
  return rows.filter((row) => row.trim().split(/\s+/)[2] === to && row.trim().split(/\s+/)[3] === SYN_SENT)
    .length
}

test('an address that accepts again is found by a look, and used', async (t) => {
  watchLeaks(t)
  const other = await echo(t)
  const well = await echo(t)
  well.stopAccepting()
  const clock = stillClock()
  const gate = await startGate(t, [`protocol: tcp, ${of(well.port, other.port)}`], { clock })
  const say = async (): Promise<void> => void t.equal(await hello(t, gate), 'hello')
  await say()
  const place = { host: '127.0.0.1', port: well.port }
  const again = await listen(t, async (wire) => wire.end(await wire.received), {}, place)
  for (let nth = 0; nth < 3; nth++) await say()
  t.equal(again.connections.length, 0, 'it is avoided')
  clock.pass(10_000)
  await eventually(async () => {
    await say()
    return again.connections.length >= 2
  })
  t.equal((await within(again.connections[0]!.received)).length, 0, 'the look says nothing')
  t.equal((await within(again.connections[1]!.received)).toString(), 'hello')
})

test('tcp: where none accepts, the client ends with the last failure, and no place stays taken', async (t) => {
  watchLeaks(t)
  const gate = await startGate(t, [`protocol: tcp, ${of(refuser(t).port, refuser(t).port)}`])
  await connect(t, gate.port)
  t.match(await gate.end(), { reason: 'connect_refused' })
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'connect_refused',
    }),
    2,
  )
  const upstreams = (await (await fetch(`http://127.0.0.1:${gate.adminPort}/upstreams`)).json()) as unknown[]
  t.match(upstreams, [
    {
      listener: 'l0',
      balance: 'leastConnections',
      maxConnections: null,
      queued: 0,
      targets: [{ open: 0, lastFailure: { problem: 'ECONNREFUSED' } }, { open: 0 }],
    },
  ])
})

test('websocket: the upgrade goes to the address that accepts', async (t) => {
  watchLeaks(t)
  const upstream = await wsServer(t)
  const gate = await startGate(t, [`protocol: http, ${of(refuser(t).port, upstream.port)}`])
  const client = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  await client.send('hi')
  t.equal((await client.nextMessage()).data.toString(), 'hi')
})

test('http: a request goes to the address that accepts, its body whole, whatever its method', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  for (const [head, body] of [
    [get('/a'), ''],
    [get('/a', 'Content-Length: 5\r\n', 'POST'), 'hello'],
    [get('/a', 'Transfer-Encoding: chunked\r\n', 'POST'), '5\r\nhello\r\n0\r\nX: y\r\n\r\n'],
  ]) {
    const upstream = await recordingUpstream(t)
    const gate = await startGate(t, [`protocol: http, ${of(refuser(t).port, upstream.port)}`])
    const client = await httpClient(t, gate.port)
    t.match(await client.get(`${head}${body}`), { status: 200 })
    t.same(
      [(await upstream.request()).body.toString(), upstream.requests.length, upstream.problems],
      [body === '' ? '' : 'hello', 1, []],
    )
    t.match(await client.get(get('/b')), { status: 200 }, 'and the connection goes on')
    t.equal(
      readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
        reason: 'connect_refused',
      }),
      1,
    )
  }
})

test('http: a large body is not lost while an address swallows packets', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const blackhole = await backlogFull(t)
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, ${of(blackhole.port, upstream.port)}, deadlines: { connect: 400ms }`,
  ])
  const client = await httpClient(t, gate.port)
  const body = 'x'.repeat(1_000_000)
  t.match(await client.get(`${get('/a', `Content-Length: ${body.length}\r\n`, 'POST')}${body}`), {
    status: 200,
  })
  t.equal((await upstream.request()).body.length, body.length)
})

test('http: where none accepts, 502 for one that refuses and 504 for one that swallows packets', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const refused = await startGate(t, [`protocol: http, ${of(refuser(t).port, refuser(t).port)}`])
  t.match(await (await httpClient(t, refused.port)).get(get('/')), { status: 502 })
  const [one, other] = [await backlogFull(t), await backlogFull(t)]
  const swallowed = await startGate(t, [
    `protocol: http, ${of(one.port, other.port)}, deadlines: { connect: 300ms }`,
  ])
  t.match(await (await httpClient(t, swallowed.port)).get(get('/')), { status: 504 })
  t.match(await swallowed.end(), { reason: 'connect_timeout' })
})

/** An address that connect() refuses by itself: on Linux there is no TCP to a broadcast address. */
const NOWHERE = '"127.255.255.255:80"'

test('http: a dial that fails inside connect() is a failed dial: 502, counted, and another address is tried', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const alone = await startGate(t, [`protocol: http, upstream: ${NOWHERE}`])
  t.match(await (await httpClient(t, alone.port)).get(get('/')), { status: 502 })
  t.match(await alone.end(), { reason: 'connect_failed', side: 'upstream', detail: 'ENETUNREACH' })
  t.equal(
    readSamples(await alone.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'connect_failed',
    }),
    1,
  )
  const upstream = await recordingUpstream(t)
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: [${NOWHERE}, "127.0.0.1:${upstream.port}"] }`,
  ])
  const client = await httpClient(t, gate.port)
  for (let i = 0; i < 4; i++)
    t.match(await client.get(`${get('/', 'Content-Length: 2\r\n', 'POST')}ab`), { status: 200 })
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'connect_failed',
    }),
    1,
    'it is avoided from then on',
  )
  t.equal(upstream.requests.length, 4)
})
