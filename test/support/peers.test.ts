import { test } from 'tap'
import { pattern, sha256, Verifier } from './bytes.ts'
import { eventually, isSettled } from './eventually.ts'
import { watchLeaks } from './leaks.ts'
import * as peers from './peers.ts'
import { connect } from './peers.ts'

const fin = { kind: 'fin', code: null }
const reset = { kind: 'reset', code: 'ECONNRESET' }

test('echo gives back every byte and ends when the peer did', async (t) => {
  watchLeaks(t)
  const upstream = await peers.echo(t, { into: { write: () => {} } })
  const verifier = new Verifier(2)
  const client = await connect(t, upstream.port, { into: verifier })
  await client.flood({ total: 3_000_000, seed: 2 })
  t.same(await client.closed, fin)
  t.equal(verifier.problem(3_000_000), null)
  t.equal(client.sent, 3_000_000)
  const seen = await upstream.connection()
  t.same(await seen.closed, fin)
  t.same([seen.bytes, seen.sent], [3_000_000, 3_000_000])
})

test('slicer echoes in pieces of at most 13 bytes', async (t) => {
  watchLeaks(t)
  const upstream = await peers.slicer(t)
  const client = await connect(t, upstream.port)
  const sizes: number[] = []
  client.socket.on('data', (chunk: Buffer) => sizes.push(chunk.length))
  client.end(pattern(500))
  t.ok((await client.received).equals(pattern(500)))
  t.same(await client.closed, fin)
  t.ok(sizes.length > 1, `came in ${sizes.length} pieces`)
})

test('mute reads nothing and says nothing', async (t) => {
  watchLeaks(t)
  const upstream = await peers.mute(t)
  const client = await connect(t, upstream.port)
  const flood = client.flood()
  const seen = await upstream.connection()
  await client.stalled()
  t.equal(seen.bytes, 0)
  t.equal(client.bytes, 0)
  seen.reset()
  await flood
  t.same(await client.closed, reset)
})

test('mute does not see an end until it is told to read', async (t) => {
  watchLeaks(t)
  const upstream = await peers.mute(t)
  const client = await connect(t, upstream.port)
  client.end('hello')
  const seen = await upstream.connection()
  t.equal(await isSettled(seen.ended), false)
  seen.resumeReading()
  t.equal((await seen.received).toString(), 'hello')
})

test('sink counts and hashes what it reads, keeps none of it, and says nothing', async (t) => {
  watchLeaks(t)
  const upstream = await peers.sink(t)
  const client = await connect(t, upstream.port)
  await client.flood({ total: 1_000_000, seed: 4 })
  t.same(await client.closed, fin)
  const seen = await upstream.connection()
  t.same([seen.bytes, seen.sha256, client.bytes], [1_000_000, sha256(pattern(1_000_000, 4)), 0])
  await t.rejects(seen.received, { message: /are not kept/ })
})

test('sink hands the bytes to a verifier', async (t) => {
  const verifier = new Verifier(4)
  const upstream = await peers.sink(t, { into: verifier })
  const client = await connect(t, upstream.port)
  await client.flood({ total: 100_000, seed: 4 })
  await client.closed
  t.equal(verifier.problem(100_000), null)
})

test('flooder sends from the start, its total, and ends', async (t) => {
  watchLeaks(t)
  const upstream = await peers.flooder(t, { total: 5_000_000, seed: 9 })
  const verifier = new Verifier(9)
  const client = await connect(t, upstream.port, { into: verifier })
  t.same(await client.closed, fin)
  t.equal(verifier.problem(5_000_000), null)
  t.equal((await upstream.connection()).sent, 5_000_000)
})

test('flooder stalls when nobody reads, and has counted what its kernel took', async (t) => {
  watchLeaks(t)
  const upstream = await peers.flooder(t)
  const client = await connect(t, upstream.port, { unread: true })
  const seen = await upstream.connection()
  await seen.stalled()
  t.equal(client.bytes, 0)
  t.ok(seen.socket.writableLength <= 65_536, 'no more than one chunk waits in memory')
  client.reset()
  t.match(await seen.closed, { kind: 'reset' })
})

test('trickler sends so many bytes in each interval', async (t) => {
  watchLeaks(t)
  const upstream = await peers.trickler(t, 10, 20, 6)
  const client = await connect(t, upstream.port)
  const start = performance.now()
  t.ok((await client.read(50)).equals(pattern(50, 6)))
  t.ok(performance.now() - start >= 60, 'five lumps take their time')
  client.end()
  t.same(await client.closed, fin)
})

test('resetter resets at once', async (t) => {
  watchLeaks(t)
  const upstream = await peers.resetter(t)
  const outcome = await connect(t, upstream.port).then(
    (client) => client.closed,
    (error: Error) => error,
  )
  t.match(outcome, { code: 'ECONNRESET' }, 'while it connects, or right after')
})

test('resetter resets after what it was to read and to send', async (t) => {
  watchLeaks(t)
  const upstream = await peers.resetter(t, 100, 'half an ans')
  const client = await connect(t, upstream.port)
  t.equal((await client.read(11)).toString(), 'half an ans')
  await client.write(pattern(99))
  const seen = await upstream.connection()
  await eventually(() => seen.bytes === 99)
  t.equal(client.outcome, null)
  await client.write('x')
  t.same(await client.closed, reset)
})

test('halfCloser answers only after it saw FIN', async (t) => {
  watchLeaks(t)
  const upstream = await peers.halfCloser(t, (request) => `${request.length} bytes`)
  const client = await connect(t, upstream.port, { halfOpen: true })
  await client.write('question')
  const seen = await upstream.connection()
  await eventually(() => seen.bytes === 8)
  t.equal(client.bytes, 0)
  client.end()
  t.equal((await client.received).toString(), '8 bytes')
  t.same(await client.closed, fin)
})

test('finsFirst ends first and goes on reading', async (t) => {
  watchLeaks(t)
  const upstream = await peers.finsFirst(t, 'bye')
  const client = await connect(t, upstream.port, { halfOpen: true })
  t.equal((await client.received).toString(), 'bye')
  t.equal(await client.ended, true)
  client.end('still talking')
  const seen = await upstream.connection()
  t.equal((await seen.received).toString(), 'still talking')
  t.same(await seen.closed, fin)
})

test('neverCloses reads the end and leaves its own half open', async (t) => {
  watchLeaks(t)
  const upstream = await peers.neverCloses(t)
  const client = await connect(t, upstream.port)
  client.end('all')
  const seen = await upstream.connection()
  t.equal((await seen.received).toString(), 'all')
  t.equal(await isSettled(client.ended), false)
  t.equal(seen.outcome, null)
  client.reset()
})

test('nobody listens at refuser', async (t) => {
  watchLeaks(t)
  const { port } = peers.refuser(t)
  await t.rejects(connect(t, port), { code: 'ECONNREFUSED' })
})

test('an upstream that stopped accepting refuses, and its connections live on', async (t) => {
  watchLeaks(t)
  const upstream = await peers.echo(t)
  const client = await connect(t, upstream.port)
  await upstream.connection()
  upstream.stopAccepting()
  await t.rejects(connect(t, upstream.port), { code: 'ECONNREFUSED' })
  await client.write('still here')
  t.equal((await client.read(10)).toString(), 'still here')
})

test('a client reads so many bytes, or up to a mark, and the rest stays', async (t) => {
  const upstream = await peers.echo(t)
  const client = await connect(t, upstream.port)
  await client.write('one\r\n\r\ntwothree')
  t.equal((await client.readUntil('\r\n\r\n')).toString(), 'one\r\n\r\n')
  t.equal((await client.read(3)).toString(), 'two')
  await eventually(() => client.unread === 5)
  t.equal(client.takeUnread().toString(), 'three')
  client.end()
  await t.rejects(client.read(1), { message: 'closed while waiting for 1 bytes' })
  t.equal((await client.received).toString(), 'one\r\n\r\ntwothree')
})

test('a client that stops reading takes what is in flight later', async (t) => {
  const upstream = await peers.echo(t)
  const client = await connect(t, upstream.port)
  client.stopReading()
  await client.write('later')
  await eventually(() => upstream.connections[0]?.sent === 5)
  t.equal(client.bytes, 0)
  client.resumeReading()
  t.equal((await client.read(5)).toString(), 'later')
})

test('a client can reset, and says so as its own doing', async (t) => {
  const upstream = await peers.echo(t)
  const client = await connect(t, upstream.port)
  const seen = await upstream.connection()
  client.reset()
  t.same(await client.closed, { kind: 'local', code: null })
  t.same(await seen.closed, reset)
})

test('a half-open client goes on sending after the peer ended', async (t) => {
  const upstream = await peers.finsFirst(t)
  const client = await connect(t, upstream.port, { halfOpen: true })
  await client.ended
  t.equal(await client.write('more'), true)
  t.equal(client.outcome, null)
})
