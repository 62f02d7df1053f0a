import { test } from 'tap'
import net from 'node:net'
import { readFileSync } from 'node:fs'
import { pattern, sha256 } from './bytes.ts'
import { eventually, isSettled } from './eventually.ts'
import { watchLeaks } from './leaks.ts'
import { connect, echo, finsFirst, flooder, mute, refuser, resetter } from './peers.ts'
import { backlogFull, frozen, slowReader, trickleReader } from './processes.ts'

test('frozen echoes, then does not while it is stopped, then does', async (t) => {
  watchLeaks(t)
  const upstream = await frozen(t)
  const client = await connect(t, upstream.port)
  await client.write('one')
  t.equal((await client.read(3)).toString(), 'one')
  await upstream.freeze()
  t.equal(await client.write('two'), true, 'its kernel takes bytes')
  const other = await connect(t, upstream.port)
  await other.write('three')
  t.same([client.unread, other.unread], [0, 0])
  upstream.thaw()
  t.equal((await client.read(3)).toString(), 'two')
  t.equal((await other.read(5)).toString(), 'three')
})

test('frozen can be killed while it is stopped, and what it had not read makes that a reset', async (t) => {
  watchLeaks(t)
  const upstream = await frozen(t)
  const client = await connect(t, upstream.port)
  await client.write('one')
  await client.read(3)
  await upstream.freeze()
  await client.write('unread')
  await upstream.kill()
  t.same(await client.closed, { kind: 'reset', code: 'ECONNRESET' })
})

/** The states of the sockets connected to that port, as the kernel numbers them: 2 is SYN_SENT. */
function statesTo(port: number): string[] {
  const remote = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = readFileSync('/proc/net/tcp', 'latin1')
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
  return rows.filter((row) => row[2]?.endsWith(remote)).map((row) => row[3]!)
}

test('a connect to backlogFull hangs', async (t) => {
  watchLeaks(t)
  const { port } = await backlogFull(t)
  const before = statesTo(port).filter((state) => state === '02').length
  const socket = net.connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  await eventually(() => statesTo(port).filter((state) => state === '02').length === before + 1)
  t.equal(socket.connecting, true)
})

test('slowReader reads nothing until told, and its peer stalls after little', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t, { seed: 1, total: 8_000_000, chunk: 16_384 })
  const client = await slowReader(t, upstream.port)
  const seen = await upstream.connection()
  t.equal(seen.socket.remotePort, client.port)
  await seen.stalled()
  t.equal(client.bytes, 0)
  await client.read(100_000)
  t.equal(client.bytes, 100_000)
  t.equal(client.sha256, sha256(pattern(100_000, 1)))
  client.drain()
  t.same(await client.closed, { kind: 'fin', code: null })
  t.equal(client.bytes, 8_000_000)
  t.equal(client.sha256, sha256(pattern(8_000_000, 1)))
})

test('slowReader sees RST without reading, and its kernel held but a few KiB', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const client = await slowReader(t, upstream.port)
  const seen = await upstream.connection()
  await seen.stalled()
  seen.reset()
  t.same(await client.closed, { kind: 'reset', code: 'ECONNRESET' })
  t.equal(client.bytes, 0)
  client.drain()
  await eventually(() => client.bytes > 0)
  t.ok(client.bytes <= 16_384, `${client.bytes} bytes`)
})

test('slowReader sees FIN without reading, and its own end comes when all was read', async (t) => {
  watchLeaks(t)
  const upstream = await finsFirst(t, 'bye')
  const client = await slowReader(t, upstream.port)
  await client.finArrived
  t.equal(await isSettled(client.closed), false)
  client.drain()
  t.same(await client.closed, { kind: 'fin', code: null })
  t.equal(client.bytes, 3)
})

test('slowReader sends, ends and resets', async (t) => {
  watchLeaks(t)
  const upstream = await mute(t)
  const client = await slowReader(t, upstream.port)
  client.send('GET /')
  client.end()
  const seen = await upstream.connection()
  seen.resumeReading()
  t.equal((await seen.received).toString(), 'GET /')
  client.reset()
  await eventually(() => !seen.socket.writable || seen.outcome !== null || (void seen.write('x'), false))
  t.match(await seen.closed, { kind: 'reset' })
})

test('slowReader gets an answer to what it sent', async (t) => {
  const upstream = await echo(t)
  const client = await slowReader(t, upstream.port)
  client.send(pattern(50_000, 3))
  await client.read(50_000)
  t.equal(client.sha256, sha256(pattern(50_000, 3)))
})

test('slowReader reads what came before a reset', async (t) => {
  const upstream = await resetter(t, 0, 'half')
  const client = await slowReader(t, upstream.port)
  t.same(await client.closed, { kind: 'reset', code: 'ECONNRESET' })
  client.drain()
  await eventually(() => client.bytes === 4)
})

test('slowReader fails when it cannot connect', async (t) => {
  await t.rejects(slowReader(t, refuser(t).port), { message: /could not connect/ })
})

test('trickleReader takes so many bytes in each interval, and no more', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t, { seed: 2 })
  const start = performance.now()
  const client = await trickleReader(t, upstream.port, { bytes: 1000, everyMs: 20 })
  await eventually(() => client.bytes >= 10_000)
  t.ok(client.bytes <= 1000 * ((performance.now() - start) / 20 + 1), `${client.bytes} bytes`)
})

// The kernel reports "writable" again only when about a third of a full send buffer has gone: here steps of about 1 MB.
test('the peer of a trickleReader sees progress, in steps', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const client = await trickleReader(t, upstream.port, { bytes: 50_000, everyMs: 5, rcvbuf: 65_536 })
  const seen = await upstream.connection()
  await eventually(() => seen.sent > 8_000_000, { withinMs: 20_000, what: 'progress at the upstream' })
  t.ok(client.bytes > 0)
})
