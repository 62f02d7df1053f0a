import { test } from 'tap'
import { fixed } from '../../src/core/live.ts'
import { Frames } from '../../src/websocket/frames.ts'
import { memoryPair } from '../pair/memory-pair.ts'
import type { MemoryPair } from '../pair/memory-pair.ts'
import { encodeFrame } from '../support/frames.ts'
import { silentObserver } from '../support/silent-observer.ts'

const off = Number.POSITIVE_INFINITY

interface Rules {
  closeMs?: number
  messageTimeoutMs?: number
  intervalMs?: number
}

function webSocketPair({ closeMs = 5000, messageTimeoutMs = off, intervalMs = off }: Rules): MemoryPair {
  let frames: Frames | null = null
  const pair = memoryPair({
    dialogueOf(connection, clock) {
      const ping = { intervalMs, timeoutMs: 2000, misses: 1, to: 'client' as const }
      const rules = {
        maxMessageBytes: off,
        maxFragments: off,
        maxMessageToClientBytes: off,
        live: fixed({ closeMs, writeMs: off, messageTimeoutMs, ping }),
      }
      const isCompressed = { client: false, upstream: false }
      return (frames = new Frames(connection, rules, isCompressed, { clock, observer: silentObserver }))
    },
  })
  frames!.attach(pair.pair.toUpstream, pair.pair.toClient)
  return pair
}

/** The wait that an operator reads, and whether the pair ends at its moment and not before. */
async function judged({ pair, clock, connection }: MemoryPair) {
  const { waitsFor, next } = pair.describe()
  await clock.pass(next!.at - clock.now() - 1)
  const isEarly = connection.end !== null
  await clock.pass(1001)
  return { waitsFor, key: next!.key, isEarly, end: connection.end?.reason }
}

test('the rest of a message is due when the description says so', async (t) => {
  const made = webSocketPair({ messageTimeoutMs: 10_000 })
  made.client.feed(encodeFrame({ opcode: 'text', payload: 'a', mask: true, fin: false }))
  await made.clock.pass(1000)
  t.same(await judged(made), {
    waitsFor: 'the rest of a message of the client',
    key: 'websocket.messageTimeout',
    isEarly: false,
    end: 'too_slow',
  })
})

test('so is a pong', async (t) => {
  const made = webSocketPair({ intervalMs: 3000 })
  await made.clock.pass(3100)
  // Only a client that has answered once is missed.
  const payload = Buffer.from(made.client.got.subarray(2))
  made.client.feed(encodeFrame({ opcode: 'pong', payload, mask: true }))
  await made.clock.pass(4000)
  t.same(await judged(made), {
    waitsFor: 'a pong of the client',
    key: 'websocket.ping.timeout',
    isEarly: false,
    end: 'ping_timeout',
  })
})

test('so is the answer to a Close frame', async (t) => {
  const made = webSocketPair({ closeMs: 5000 })
  made.client.feed(encodeFrame({ opcode: 'close', payload: Buffer.from([3, 232]), mask: true }))
  await made.clock.pass(1000)
  t.same(await judged(made), {
    waitsFor: 'the Close frame of the upstream',
    key: 'deadlines.close',
    isEarly: false,
    end: 'eof',
  })
})
