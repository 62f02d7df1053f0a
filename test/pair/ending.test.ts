import { test } from 'tap'
import type { Test } from 'tap'
import { SWEEP_MS } from '../../src/core/clock.ts'
import { makeClose } from '../../src/core/close.ts'
import type { Reason } from '../../src/core/close.ts'
import { dialogue, memoryPair } from './memory-pair.ts'
import type { MemoryPair, MemoryPairOptions } from './memory-pair.ts'

const eof = makeClose('eof', 'upstream', 'relay', 'code 4001')

/** The client takes one byte in each second, for so long. */
async function sip({ client, clock }: MemoryPair, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    client.take(1)
    await clock.pass(1000)
  }
}

/** The client is there a millisecond before, and reset then. */
async function isResetAfter(t: Test, { client, clock }: MemoryPair, ms: number, what = ''): Promise<void> {
  await clock.pass(ms - 1)
  t.notOk(client.isClosed, what)
  await clock.pass(1 + 2 * SWEEP_MS)
  t.ok(client.gotReset, what)
}

test('a peer that takes its last bytes slowly gets all of them, long after deadlines.close, and then has as long to take leave', async (t) => {
  for (const reason of ['eof', 'drain', 'idle_timeout', 'aborted'] as const) {
    const it = memoryPair({ clientTakes: 0, closeMs: 2000 })
    it.upstream.feed('x'.repeat(20))
    it.pair.close(makeClose(reason, reason === 'aborted' ? 'upstream' : 'sidegate', 'relay', 'why'))
    it.upstream.fin()
    await sip(it, 20)
    t.same(
      [it.client.isClosed, it.client.got.length, it.client.gotFin],
      [false, 20, true],
      `${reason}: all of it, and FIN`,
    )
    await it.clock.pass(2000 - 1000 - SWEEP_MS - 1)
    t.notOk(it.client.isClosed, 'its own FIN may come now')
    it.client.fin()
    await it.clock.pass(0)
    t.match(it.connection.end, { reason, detail: 'why' })
    t.notOk(it.client.gotReset)
    t.equal(it.closed.length, 1)
  }
})

test('a peer that takes none of its last bytes is reset after deadlines.close; the end was write_timeout then, not eof, and says how many', async (t) => {
  const it = memoryPair({ clientTakes: 5, closeMs: 2000 })
  it.upstream.feed('x'.repeat(20_000))
  it.pair.close(eof)
  it.upstream.fin()
  await isResetAfter(t, it, 2000)
  t.match(it.connection.end, { reason: 'write_timeout', side: 'client', phase: 'close' })
  t.match(
    it.connection.end?.detail,
    /deadlines\.close\); 19995 bytes for the client dropped, behind code 4001/,
  )
  t.equal(it.closed.length, 1)
})

test('the kernel is asked: a peer that takes only what the kernel holds is not still', async (t) => {
  const it = memoryPair({ closeMs: 2000 })
  it.upstream.feed('x'.repeat(1000))
  it.client.measurements = 0
  it.client.inKernel = 1000
  it.pair.close(eof)
  it.upstream.fin()
  for (let left = 1000; left > 0; left -= 100) {
    it.client.inKernel = left
    await it.clock.pass(1500)
    t.notOk(it.client.isClosed)
  }
  await it.clock.pass(10_000)
  t.ok(it.client.gotReset, 'until it is')
})

test('another reason stays, with what was dropped in its detail', async (t) => {
  const it = memoryPair({ clientTakes: 0, closeMs: 2000 })
  it.upstream.feed('x'.repeat(200))
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  await it.clock.pass(3000)
  t.match(it.connection.end, { reason: 'drain', side: 'sidegate', phase: 'relay' })
  t.match(it.connection.end?.detail, /^drain; 200 bytes for the client dropped: .*deadlines\.close/)
})

test('a goodbye that nobody reads is no loss', async (t) => {
  const it = memoryPair({ clientTakes: 0, closeMs: 2000, dialogue: dialogue({ lastWord: () => 8 }) })
  it.client.inKernel = 8
  it.pair.close(eof)
  await it.clock.pass(5000)
  t.ok(it.client.isClosed)
  t.match(it.connection.end, { reason: 'eof', detail: 'code 4001' })
})

test('what a peer has sent before its RST is delivered, within deadlines.write without progress, and RST behind it', async (t) => {
  for (const side of ['client', 'upstream'] as const) {
    const other = side === 'client' ? 'upstream' : 'client'
    const it = memoryPair({ clientTakes: 0, upstreamTakes: 0, closeMs: 1000, deadlines: { writeMs: 5000 } })
    it[side].feed('x'.repeat(10))
    it[side].rst()
    await it.clock.pass(4000)
    t.notOk(it[other].isClosed, 'deadlines.close is not for this')
    for (let i = 0; i < 10; i++) {
      it[other].take(1)
      await it.clock.pass(4000)
    }
    t.same([it[other].got.length, it[other].gotFin, it[other].gotReset], [10, false, true])
    t.match(it.connection.end, { reason: 'reset', side, detail: 'ECONNRESET' })
    t.equal(it.closed.length, 1)
  }
})

test('what a peer has sent before its RST is given up when the other takes none of it for deadlines.write', async (t) => {
  const it = memoryPair({ clientTakes: 0, closeMs: 1000, deadlines: { writeMs: 5000 } })
  it.upstream.feed('x'.repeat(10))
  it.upstream.rst()
  await it.clock.pass(5000 + 2 * SWEEP_MS)
  t.match(it.connection.end, {
    reason: 'reset',
    side: 'upstream',
    detail: /^ECONNRESET; 10 bytes for the client dropped: .*deadlines\.write/,
  })
  t.equal(it.closed.length, 1)
})

test('a FIN that looked like bytes is not waited for as they would be', async (t) => {
  const it = memoryPair({ closeMs: 2000, deadlines: { writeMs: 300_000 } })
  it.upstream.measurements = 0
  it.client.fin()
  await it.clock.pass(0)
  it.upstream.inKernel = 2
  it.upstream.measure()
  await it.clock.pass(0)
  it.client.rst('EPIPE')
  await it.clock.pass(0)
  t.same([it.upstream.unacked, it.upstream.closes], [2, ['flush']])
  it.upstream.inKernel = 0
  await it.clock.pass(2000 + 3 * SWEEP_MS)
  t.ok(it.upstream.gotReset)
  t.match(it.connection.end, { reason: 'reset', side: 'client', detail: 'EPIPE' })
  t.equal(it.closed.length, 1)
})

test('a service that sends on to a client that had ended its half and has reset gets RST, behind what it is owed', async (t) => {
  const it = memoryPair({ upstreamTakes: 0 })
  it.client.feed('whole request')
  it.client.fin()
  await it.clock.pass(0)
  it.client.rst('EPIPE')
  await it.clock.pass(0)
  t.same(it.upstream.closes, ['flush'], 'it may take its time')
  it.upstream.feed('for nobody')
  it.upstream.feed('for nobody')
  await it.clock.pass(0)
  t.same(it.upstream.closes, ['flush', 'deliver'], 'once')
  t.notOk(it.upstream.isClosed)
  it.upstream.take(100)
  await it.clock.pass(SWEEP_MS)
  t.equal(it.upstream.got.toString(), 'whole request')
  t.ok(it.upstream.gotReset)
  t.match(it.connection.end, { reason: 'reset', side: 'client', detail: 'EPIPE' })
  t.equal(it.closed.length, 1)
})

test('a service that sends on while it is parted from for another reason, or in a dialogue, is heard out', async (t) => {
  const ends = [
    [memoryPair(), 'idle_timeout'],
    [memoryPair({ dialogue: dialogue({ farewell: () => 'said' }) }), 'reset'],
  ] as const
  for (const [it, reason] of ends) {
    await it.clock.pass(0)
    it.pair.close(makeClose(reason, 'client', 'relay'))
    it.upstream.feed('late')
    await it.clock.pass(0)
    t.same(it.upstream.closes, ['flush'], reason)
    for (const peer of [it.client, it.upstream]) peer.fin()
    await it.clock.pass(0)
    t.equal(it.closed.length, 1)
  }
})

test('a client that sends on to a service that had ended its half and has reset keeps its whole answer', async (t) => {
  const it = memoryPair()
  it.upstream.feed('whole answer')
  it.upstream.fin()
  await it.clock.pass(0)
  it.upstream.rst('EPIPE')
  it.client.feed('for nobody')
  await it.clock.pass(0)
  t.same(it.client.closes, ['flush'])
  it.client.fin()
  await it.clock.pass(0)
  t.equal(it.closed.length, 1)
  t.notOk(it.client.gotReset)
})

test('RST waits for what the kernel still holds', async (t) => {
  const it = memoryPair()
  it.upstream.feed('x'.repeat(10))
  it.client.inKernel = 10
  await it.clock.pass(0)
  it.upstream.rst()
  await it.clock.pass(3000)
  t.notOk(it.client.isClosed)
  it.client.inKernel = 0
  await it.clock.pass(SWEEP_MS)
  t.ok(it.client.gotReset)
})

test('an operator, an overload and the end of a drain do not wait for last bytes, neither at first nor behind another end', async (t) => {
  for (const reason of [
    'killed',
    'overloaded',
    'drain_timeout',
    'internal_error',
  ] as const satisfies Reason[]) {
    for (const first of [null, eof, makeClose('reset', 'upstream', 'relay')]) {
      const it = memoryPair({ clientTakes: 0 })
      it.upstream.feed('x'.repeat(200))
      if (first !== null) it.pair.close(first)
      it.pair.close(makeClose(reason, 'sidegate', 'relay'))
      await it.clock.pass(0)
      t.same(
        [it.client.gotReset, it.upstream.gotReset || it.upstream.isClosed, it.closed.length],
        [true, true, 1],
      )
      t.equal(it.connection.end?.reason, first === null || first === eof ? reason : 'reset')
    }
  }
})

test('a peer that is gone with bytes that waited for it makes another end of eof', async (t) => {
  const it = memoryPair({ clientTakes: 0 })
  it.upstream.feed('x'.repeat(200))
  it.pair.close(eof)
  it.upstream.fin()
  await it.clock.pass(0)
  it.client.rst()
  await it.clock.pass(0)
  t.match(it.connection.end, {
    reason: 'reset',
    side: 'client',
    phase: 'close',
    detail: 'ECONNRESET; 200 bytes for the client dropped, behind code 4001',
  })
})

test('an innocent peer of one that stalls gets what it is owed before the RST', async (t) => {
  for (const reason of ['write_timeout', 'too_slow', 'half_close_timeout'] as const) {
    const it = memoryPair({ clientTakes: 0, upstreamTakes: 0 })
    it.upstream.feed('answer')
    it.pair.close(makeClose(reason, 'upstream', 'relay'))
    t.ok(it.upstream.gotReset)
    it.client.take(10)
    await it.clock.pass(SWEEP_MS)
    t.same([it.client.got.toString(), it.client.gotFin, it.client.gotReset], ['answer', false, true])
  }
})

test('a client that broke a rule is told behind what the upstream still answers', async (t) => {
  const broke = makeClose('protocol_error', 'client', 'relay')
  const hears = (isOver: () => boolean) =>
    memoryPair({
      closeMs: 2000,
      dialogue: Object.defineProperty(
        dialogue({
          hearOut: ({ side }) => side === 'client',
          farewell: (half) => (
            half.forward(Buffer.from(`bye ${half.sink.side}`), 0, half.sink.side.length + 4),
            'said'
          ),
        }),
        'hasHeardOut',
        { get: isOver },
      ),
    })
  let isOver = false
  const answered = hears(() => isOver)
  await answered.clock.pass(0)
  answered.client.feed('question')
  answered.pair.close(broke)
  t.equal(answered.upstream.got.toString(), 'questionbye upstream')
  t.ok(answered.client.isPaused, 'it is not read meanwhile')
  answered.upstream.feed('answer,')
  isOver = true
  answered.upstream.feed('and bye,')
  t.equal(answered.client.got.toString(), 'answer,and bye,bye client')
  answered.client.fin()
  await answered.clock.pass(0)
  t.match(answered.connection.end, broke)
  t.equal(answered.closed.length, 1)

  const gone = hears(() => false)
  await gone.clock.pass(0)
  gone.pair.close(broke)
  gone.upstream.feed('answer,')
  gone.upstream.fin()
  t.equal(
    gone.client.got.toString(),
    'answer,bye client',
    'the end of the upstream is the end of its answers',
  )

  const silent = hears(() => false)
  silent.pair.close(broke)
  silent.clock.every(100, () => silent.upstream.feed('.'))
  await silent.clock.pass(1999)
  t.notMatch(silent.client.got.toString(), /bye/)
  await silent.clock.pass(1 + 2 * SWEEP_MS)
  t.match(
    silent.client.got.toString(),
    /^\.+bye client$/,
    'and it has deadlines.close for them, whatever it sends',
  )
})

function hearing(options: MemoryPairOptions = {}) {
  const told: string[] = []
  const it = memoryPair({
    closeMs: 2000,
    ...options,
    dialogue: dialogue({
      hearOut: ({ side }) => side === 'client',
      farewell: ({ sink }) => (told.push(sink.side), 'said'),
    }),
  })
  return { ...it, told }
}

test('a client that broke a rule waits no longer than deadlines.close, though the upstream still takes its bytes', async (t) => {
  const { clock, client, upstream, pair, told } = hearing({ upstreamTakes: 0 })
  await clock.pass(0)
  client.feed('x'.repeat(100))
  pair.close(makeClose('protocol_error', 'client', 'relay'))
  clock.every(500, () => upstream.take(1))
  await clock.pass(1999)
  t.same(told, ['upstream'])
  await clock.pass(1 + 2 * SWEEP_MS)
  t.same(told, ['upstream', 'client'])
  t.notOk(upstream.isClosed)
})

test('each peer is told once, in whatever order the others of its pair end', async (t) => {
  const heard = hearing()
  heard.pair.close(makeClose('protocol_error', 'client', 'relay'))
  heard.upstream.fin()
  await heard.clock.pass(5000)
  t.same(heard.told, ['upstream', 'client'])
  const other = hearing()
  other.pair.close(makeClose('protocol_error', 'upstream', 'relay'))
  other.upstream.rst()
  await other.clock.pass(5000)
  t.same(other.told.toSorted(), ['client', 'upstream'])
})

test('a client that goes while its upstream is heard out is told nothing, and gets nothing more', async (t) => {
  const { clock, client, upstream, pair, connection, told } = hearing()
  pair.close(makeClose('protocol_error', 'client', 'relay'))
  upstream.feed('answer')
  client.vanish()
  await clock.pass(0)
  upstream.feed('more')
  await clock.pass(SWEEP_MS)
  t.same([connection.toClient.received, connection.toClient.sent], [10, 6])
  await clock.pass(5000)
  t.same(told, ['upstream'])
})

test('of an end of the upstream, or of our own, the client is told at once', async (t) => {
  const it = memoryPair({
    dialogue: dialogue({
      hearOut: ({ side }) => side === 'client',
      farewell: (half) => (half.forward(Buffer.from('bye'), 0, 3), 'said'),
    }),
  })
  it.pair.close(makeClose('protocol_error', 'upstream', 'relay'))
  t.equal(it.client.got.toString(), 'bye')
})

test('a flood behind the end is read up to a bound, and then not any more', async (t) => {
  const it = memoryPair({ closeMs: 2000, dialogue: dialogue({ farewell: () => 'awaited' }) })
  it.pair.close(makeClose('drain', 'sidegate', 'relay'))
  await it.clock.pass(0)
  for (let i = 0; i < 100; i++) it.client.feed(Buffer.alloc(100_000))
  t.ok(it.client.isPaused)
  t.ok(it.connection.toUpstream.received < 5_000_000, `${it.connection.toUpstream.received}`)
  await it.clock.pass(5000)
  t.equal(it.closed.length, 1)
})

test('the last bytes of an ordinary end are owed for deadlines.write, where that is longer; those of an end of ours for deadlines.close', async (t) => {
  for (const [reason, side, writeMs, owedMs, key] of [
    ['eof', 'upstream', 20_000, 20_000, 'write'],
    ['eof', 'upstream', 500, 2000, 'close'],
    ['reset', 'upstream', 20_000, 20_000, 'write'],
    ['drain', 'sidegate', 20_000, 2000, 'close'],
  ] as const) {
    const it = memoryPair({ clientTakes: 0, closeMs: 2000, deadlines: { writeMs } })
    it.upstream.feed('x'.repeat(20))
    it.pair.close(makeClose(reason, side, 'relay', 'why'))
    it.upstream.fin()
    await isResetAfter(t, it, owedMs, `${reason}, write ${writeMs}`)
    t.match(it.connection.end?.detail, new RegExp(`deadlines\\.${key}`))
  }
})

test('a Close frame that is not taken is no owed byte: its peer has deadlines.close', async (t) => {
  const it = memoryPair({
    closeMs: 2000,
    deadlines: { writeMs: 20_000 },
    dialogue: dialogue({
      farewell(half) {
        if (half.direction === 'to_client') half.forward(Buffer.alloc(10), 0, 10)
        return 'said'
      },
      lastWord: () => 10,
    }),
  })
  it.client.inKernel = 10
  it.client.measurements = 0
  it.pair.close(eof)
  it.upstream.fin()
  await isResetAfter(t, it, 2000)
  t.match(it.connection.end, { reason: 'eof', side: 'upstream' })
})
