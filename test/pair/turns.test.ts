import { test } from 'tap'
import { fixed } from '../../src/core/live.ts'
import { silentObserver } from '../support/silent-observer.ts'
import { SHARE, turnsOf } from '../../src/core/turns.ts'
import { Bucket } from '../../src/limits/bucket.ts'
import type { PairLimits } from '../../src/limits/meter.ts'
import { TokenQueue } from '../../src/limits/token-queue.ts'
import { Frames } from '../../src/websocket/frames.ts'
import type { PingOptions } from '../../src/websocket/pinger.ts'
import { fakeClock, type FakeClock } from '../support/fake-clock.ts'
import { encodeFrame, type FrameSpec } from '../support/frames.ts'
import { memoryPair, type MemoryPair, type MemoryPairOptions } from './memory-pair.ts'

const KIB = 1024
const READ = 64 * KIB
const PING = encodeFrame({ opcode: 'ping', mask: true })
const buffers = { highBytes: 100 * READ, lowBytes: READ, readBytes: READ }
const off = Number.POSITIVE_INFINITY

function tcpPair(options: MemoryPairOptions = {}): MemoryPair {
  return memoryPair({ buffers, ...options })
}

function webSocketPair(options: MemoryPairOptions = {}): MemoryPair {
  let frames: Frames | null = null
  const pair = memoryPair({
    buffers,
    dialogueOf(connection, clock) {
      const ping: PingOptions = { intervalMs: off, timeoutMs: off, misses: 3, to: 'both' }
      const rules = {
        maxMessageBytes: off,
        maxFragments: off,
        maxMessageToClientBytes: off,
        live: fixed({ closeMs: 5000, writeMs: off, messageTimeoutMs: off, ping }),
      }
      return (frames = new Frames(
        connection,
        rules,
        { client: false, upstream: false },
        { clock, observer: silentObserver },
      ))
    },
    ...options,
  })
  frames!.attach(pair.pair.toUpstream, pair.pair.toClient)
  return pair
}

/** What `count` is at the end of each of the next turns, until it stays as it is. */
async function perTurn(clock: FakeClock, count: () => number): Promise<number[]> {
  const seen: number[] = []
  const look = (): void => {
    seen.push(count())
    if (seen.at(-1) !== seen.at(-2)) clock.nextTurn(look)
  }
  clock.nextTurn(look)
  await clock.pass(0)
  return seen
}

const many = (count: number, spec: FrameSpec = { opcode: 'ping' }): Buffer =>
  Buffer.concat(Array.from({ length: count }, () => encodeFrame({ mask: true, ...spec })))

test('of a source that has ten reads ready so many are relayed in a turn as its share pays for, and all in the end', async (t) => {
  const { client, upstream, clock } = tcpPair()
  const reads = Buffer.alloc(10 * READ, 'x')
  const turns = perTurn(clock, () => upstream.got.length / READ)
  client.feed(reads)
  t.same([...new Set(await turns)], [4, 8, 10])
  t.equal(upstream.got.length, reads.length)
  t.ok(upstream.got.equals(reads))
  t.equal(clock.armed.nextTurn, 0, 'and no turn is asked for any more')
})

test('what is over the share of a turn waits in its own socket', async (t) => {
  const { client, upstream } = tcpPair()
  await Promise.resolve()
  client.feed(Buffer.alloc(10 * READ))
  t.equal(upstream.got.length, 4 * READ)
  t.equal(client.unread, 6 * READ)
  t.ok(client.isPaused)
})

for (const [what, spec] of [
  ['pings', { opcode: 'ping' }],
  ['messages', { opcode: 'text', payload: '' }],
  ['messages of a byte', { opcode: 'binary', payload: 'x' }],
  ['pongs', { opcode: 'pong' }],
] as const) {
  test(`a read full of ${what} is looked at over several turns, in order, and nothing of it is lost`, async (t) => {
    const { client, upstream, clock, connection } = webSocketPair()
    const bytes = many(3000, spec)
    const size = bytes.length / 3000
    const turns = perTurn(clock, () => upstream.got.length / size)
    client.feed(bytes)
    const [first = 0, second = 0] = await turns
    t.ok(first > 100 && first <= SHARE / 1024, `${first} in the first turn`)
    t.ok(second - first <= SHARE / 1024, `${second - first} in the second`)
    t.ok(upstream.got.equals(bytes))
    t.equal(connection.end, null)
  })
}

test('a flood of fragments of one message is bounded like any other', async (t) => {
  const { client, upstream, clock } = webSocketPair()
  const bytes = Buffer.concat([
    many(1, { opcode: 'text', fin: false }),
    many(2000, { opcode: 'continuation', fin: false }),
    many(1, { opcode: 'continuation' }),
  ])
  const turns = perTurn(clock, () => upstream.got.length / 6)
  client.feed(bytes)
  t.ok((await turns)[0]! <= SHARE / 1024)
  t.ok(upstream.got.equals(bytes))
})

test('a message of a megabyte is one frame: it passes as its bytes do', async (t) => {
  const { client, upstream, clock } = webSocketPair()
  const bytes = encodeFrame({ opcode: 'binary', payload: Buffer.alloc(1024 * KIB), mask: new Uint8Array(4) })
  client.feed(bytes)
  await clock.pass(0)
  t.ok(upstream.got.equals(bytes))
})

test('twenty floods and one that chats: it never waits, and the floods share each turn alike', async (t) => {
  const clock = fakeClock()
  const floods = Array.from({ length: 20 }, () => webSocketPair({ clock }))
  const chat = webSocketPair({ clock })
  const bytes = many(4000)
  for (const { client } of floods) client.feed(bytes)
  await Promise.resolve()
  const relayed = (): number =>
    floods.reduce((sum, { upstream }) => sum + upstream.got.length / PING.length, 0)
  let turns = 0
  let before = relayed()
  const chatted: number[] = []
  const look = (): void => {
    const now = relayed()
    t.ok(now - before <= 5 * (SHARE / 1024), `${now - before} frames of floods in a turn`)
    before = now
    chat.client.feed(PING)
    chatted.push(chat.upstream.got.length / PING.length)
    const each = floods.map(({ upstream }) => upstream.got.length / PING.length)
    t.ok(
      Math.max(...each) - Math.min(...each) <= 2 * (SHARE / 1024),
      'none is ahead by more than a turn of its own',
    )
    if (++turns < 40) clock.nextTurn(look)
  }
  clock.nextTurn(look)
  await clock.pass(0)
  t.same(
    chatted,
    Array.from({ length: 40 }, (_, nth) => nth + 1),
    'each of its pings goes on in the turn in which it comes',
  )
  t.ok(floods.every(({ upstream }) => upstream.got.equals(bytes)))
  t.equal(turnsOf(clock).waiting, 0)
})

test('where a limit delays as well, what waits for a token in its turn keeps what comes behind it from being read', async (t) => {
  const limits = (clock: FakeClock): PairLimits => {
    const bucket = new Bucket(10_000, 600, clock.now())
    const messages = { bucket, onExceed: 'delay', isEnforced: true } as const
    const none = { bytes: null, messages: null }
    return {
      clock,
      tokenQueue: new TokenQueue(clock),
      minRate: null,
      ratesOf: () => ({ toUpstream: { bytes: null, messages }, toClient: none }),
      report() {},
    }
  }
  const { client, upstream, clock, connection } = webSocketPair({ limits })
  const [first, second] = [
    many(3000, { opcode: 'text', payload: 'first' }),
    many(3000, { opcode: 'text', payload: 'other' }),
  ]
  client.feed(first)
  client.feed(second)
  await clock.pass(100)
  t.equal(client.unread, second.length)
  await clock.pass(1000)
  t.ok(upstream.got.equals(Buffer.concat([first, second])))
  t.equal(connection.end, null)
})

test('FIN behind a read that is looked at over several turns follows all of it', async (t) => {
  const close = encodeFrame({ opcode: 'close', mask: true })
  const bytes = Buffer.concat([many(3000), close])
  const pair = webSocketPair({ early: { fromClient: '' } })
  pair.pair.onBytes(pair.client, bytes, bytes.length)
  pair.pair.onEnd(pair.client)
  t.equal(pair.upstream.isEnding, false)
  await pair.clock.pass(0)
  t.ok(pair.upstream.got.equals(bytes))
  t.equal(pair.upstream.isEnding, true)
  t.equal(pair.connection.end, null, 'the answer of the upstream is waited for')
})

test('what was accepted of a client before it was gone goes on all the same', async (t) => {
  const { client, upstream, connection, clock } = webSocketPair()
  const bytes = many(3000)
  client.feed(bytes)
  client.vanish()
  await clock.pass(0)
  t.ok(upstream.got.subarray(0, bytes.length).equals(bytes))
  t.match(connection.end, { reason: 'aborted', side: 'client' })
})

test('a pair that ends has no turn any more', async (t) => {
  const { client, pair, clock } = webSocketPair()
  client.feed(many(3000))
  t.equal(turnsOf(clock).waiting, 1)
  pair.close({ reason: 'killed', side: 'sidegate', phase: 'relay' })
  t.equal(turnsOf(clock).waiting, 0)
})

test('a client that goes on to send behind its Close frame is read for a while, not looked at, and then not read', async (t) => {
  const { client, upstream, clock, connection } = webSocketPair()
  client.feed(encodeFrame({ opcode: 'close', mask: true }))
  const sent = upstream.got.length
  const flood = many(5000)
  for (let i = 0; i < 200; i++) client.feed(flood)
  await clock.pass(0)
  t.equal(upstream.got.length, sent)
  t.ok(client.unread > 1024 * KIB, `${client.unread} bytes were not read`)
  await clock.pass(12_000)
  t.match(connection.end, { reason: 'eof', side: 'client' }, 'and it ends as its closing handshake does')
  t.ok(client.isClosed && upstream.isClosed)
})

test('a client that was told goodbye and sends on is read for a while, and then not read', async (t) => {
  const { client, pair, clock, connection } = webSocketPair()
  pair.close({ reason: 'drain', side: 'sidegate', phase: 'relay' })
  const flood = many(5000)
  for (let i = 0; i < 200; i++) client.feed(flood)
  await clock.pass(0)
  t.ok(client.unread > 1024 * KIB, `${client.unread} bytes were not read`)
  await clock.pass(6000)
  t.match(connection.end, { reason: 'drain' })
  t.ok(client.isClosed)
})

test('a client that was told goodbye and sends two megabytes more is heard when it answers behind them', async (t) => {
  const { client, pair, clock, upstream, connection } = webSocketPair()
  pair.close({ reason: 'drain', side: 'sidegate', phase: 'relay' })
  for (let i = 0; i < 4; i++)
    client.feed(encodeFrame({ opcode: 'binary', payload: Buffer.alloc(512 * KIB), mask: true }))
  client.feed(encodeFrame({ opcode: 'close', payload: Buffer.from([3, 244]), mask: true }))
  upstream.feed(encodeFrame({ opcode: 'close', payload: Buffer.from([3, 244]) }))
  await clock.pass(0)
  t.ok(client.isClosed && upstream.isClosed)
  t.ok(client.gotFin && !client.gotReset)
  t.match(connection.end, { reason: 'drain' })
})

test('of a tcp client whose end is flushed so much is read, and no more', async (t) => {
  const { client, pair, clock } = tcpPair()
  pair.close({ reason: 'lifetime_timeout', side: 'sidegate', phase: 'relay' })
  client.feed(Buffer.alloc(20 * 1024 * KIB))
  await clock.pass(0)
  t.ok(client.unread > 10 * 1024 * KIB)
})
