import { test } from 'tap'
import { reasonNames, reasonRow } from '../../src/core/close.ts'
import { limitWords } from '../../src/core/limit-words.ts'
import type { RecentEnd } from '../../src/admin/types.ts'
import { decidingKey, whyItEnded } from '../../src/admin/why.ts'

const end: RecentEnd = {
  id: 17,
  listener: 'app',
  protocol: 'websocket',
  peer: null,
  client: '10.0.0.7:51234',
  upstream: '127.0.0.1:8080',
  reason: 'write_timeout',
  side: 'client',
  phase: 'relay',
  detail: 'took no bytes for 30.2s (deadlines.write)',
  cut: true,
  closing: false,
  count: 1,
  started: '2026-01-01T00:00:00.000Z',
  ended: '2026-01-01T00:05:01.500Z',
  durationMs: 301_500,
  connectMs: 3,
  bytesToUpstream: 12,
  bytesToClient: 0,
  messagesToUpstream: 0,
  messagesToClient: 2,
  timeline: [],
}

test('an end whose connection still closes says so, and nothing of missing bytes yet', (t) => {
  const words = whyItEnded({ ...end, closing: true }, () => '30s').join(' ')
  t.match(words, /It is not closed yet: .*\(deadlines\.close\)\./)
  t.notMatch(words, /is missing something/)
  t.notMatch(whyItEnded(end, () => '30s').join(' '), /not closed yet/)
  t.end()
})

test('a refusal while Redis was away says that the gate decided alone, and another does not', (t) => {
  const refusal = { ...end, id: null, reason: 'too_many', phase: 'admit' } as const
  const words = (detail: string): string => whyItEnded({ ...refusal, detail }, () => '6').join(' ')
  const key = 'limits.connectionsPerClient'
  const alone = words(limitWords(key, { isAlone: true }))
  t.match(alone, /Redis did not answer within shared\.redis\.timeout, so this gate alone decided/)
  t.match(alone, `The key is ${key} (6).`)
  t.notMatch(words(limitWords(key, {})), /Redis/)
  t.end()
})

test('an end is told with its reason, its side, its key and value, and what would have spared it', (t) => {
  const asked: string[] = []
  const sentences = whyItEnded(end, (key) => (asked.push(key), '30s'))
  t.same(asked, ['deadlines.write'])
  t.same(sentences, [
    "Connection 17 of 10.0.0.7:51234, a WebSocket on app to 127.0.0.1:8080, ended at 2026-01-01 00:05:01 UTC after 5 min 2 s with write_timeout. It was the client's doing.",
    'Bytes waited for a peer and it took none of them for that long, or none of the last ones for deadlines.close: it is stalled.',
    'In the words of the gate: took no bytes for 30.2s (deadlines.write).',
    'It was owed bytes, or an answer, when it was ended: a peer is missing something.',
    'The key is deadlines.write (30s).',
    'One byte taken by the client within deadlines.write (30s) would have spared it. Raise it if the client may stop reading for longer; what waits for it stays in memory meanwhile.',
  ])
  t.end()
})

test('an HTTP/2 connection has no upstream of its own, and an age is rounded as in its timeline', (t) => {
  const h2 = { ...end, protocol: 'h2', upstream: null, durationMs: 109_600 }
  t.match(
    whyItEnded(h2, () => null)[0],
    /, an HTTP\/2 connection on app whose streams had upstreams of their own, ended at .* after 1 min 50 s with/,
  )
  t.match(whyItEnded({ ...h2, durationMs: 59_990 }, () => null)[0], / after 1 min 0 s with/)
  t.end()
})

test('a client over limits.newConnections is told of its burst, and not of a delay that it may not have', (t) => {
  const refused = { ...end, id: null, reason: 'rate_limited', detail: 'limits.newConnections' } as const
  const said = whyItEnded(refused, () => 'per: client, onExceed: close').at(-1)!
  t.match(said, /^Fewer connections that begin than limits\.newConnections \(.*\) allows .* larger burst/)
  t.notMatch(said, /onExceed: delay/)
  const other = whyItEnded({ ...refused, detail: 'limits.bytes' }, () => '1MiB').at(-1)!
  t.match(other, /^Less from the client than limits\.bytes \(1MiB\) .* onExceed: delay/)
  t.end()
})

test('refusals are told as such, alone or many at a time', (t) => {
  const refused = {
    ...end,
    id: null,
    protocol: null,
    upstream: null,
    reason: 'too_many',
    detail: 'limits.connections',
    cut: false,
  } as const
  t.match(
    whyItEnded(refused, () => '2')[0],
    /^A connection of 10\.0\.0\.7:51234 to app was refused at .* UTC with too_many\.$/,
  )
  t.match(
    whyItEnded({ ...refused, client: null, count: 41 }, () => null)[0],
    /^41 connections to app were refused by .* with too_many\.$/,
  )
  t.end()
})

test('the key that decided is the one that the detail names, else the first that governs the reason', (t) => {
  const table: [RecentEnd['reason'], string | null, string | null][] = [
    ['idle_timeout', 'deadlines.clientIdle, shortened by memory.shedAt', 'deadlines.clientIdle'],
    ['idle_timeout', 'no data for 3600.2s (deadlines.idle)', 'deadlines.idle'],
    ['idle_timeout', null, 'deadlines.idle'],
    ['rate_limited', 'limits.bytes', 'limits.bytes'],
    ['too_many', 'limits.connectionsPerClient', 'limits.connectionsPerClient'],
    ['overloaded', 'memory.refuseAt', 'memory.refuseAt'],
    ['eof', null, null],
    ['message_too_big', 'request head (http.maxHeader)', 'http.maxHeader'],
  ]
  for (const [reason, detail, key] of table)
    t.equal(decidingKey({ reason, detail }), key, `${reason} ${detail}`)
  t.end()
})

test('every reason is whole sentences, by whichever side, with a value of its key and without', (t) => {
  for (const reason of reasonNames)
    for (const side of ['client', 'upstream', 'sidegate'] as const)
      for (const value of ['30s', null]) {
        const sentences = whyItEnded({ ...end, reason, side, detail: null, cut: false }, () => value)
        t.equal(sentences.length, 4)
        for (const sentence of sentences) t.match(sentence, /^[A-Z\d].*[.]$/, `${reason}: ${sentence}`)
        t.notMatch(sentences.join(' '), /undefined|null|`|\(\)/)
        if (reasonRow(reason).key === undefined) t.match(sentences.join(' '), /No key governs this/)
      }
  t.end()
})
