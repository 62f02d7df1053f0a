import { test } from 'tap'
import { queryOf, sortOf } from '../../../src/cli/commands/filters.ts'
import { formatRows } from '../../../src/cli/commands/rows.ts'
import { formatAge } from '../../../src/core/wait.ts'
import type { ConnectionRow } from '../../../src/admin/types.ts'
import { parse, safe, UsageError } from '../../../src/cli/commands/usage.ts'

const flow = { received: 0, sent: 0, messages: 0, pauses: 0 }
const row: ConnectionRow = {
  id: 7,
  listener: 'app',
  protocol: 'websocket',
  client: '10.0.0.1:5',
  peer: '10.0.0.1:5',
  upstream: null,
  phase: 'relay',
  ageMs: 61_000,
  connectMs: null,
  idleMs: 400,
  toUpstream: flow,
  toClient: flow,
  bytesPerSec: 1536,
  queued: { client: 1024, upstream: 1 },
  close: null,
}

test('rows are a table whose columns fit what is in them', async (t) => {
  t.same(
    formatRows([
      row,
      {
        ...row,
        id: 12_345,
        bytesPerSec: null,
        upstream: '127.0.0.1:8080',
        phase: 'close',
        close: { reason: 'drain', side: 'sidegate', phase: 'relay', detail: undefined },
      },
    ]),
    [
      '   ID  LISTENER  PROTO  CLIENT      UPSTREAM        PHASE          AGE  IDLE       RATE  QUEUED',
      '    7  app       ws     10.0.0.1:5  -               relay        1m01s  0.4s  1.5 KiB/s   1 KiB',
      '12345  app       ws     10.0.0.1:5  127.0.0.1:8080  close drain  1m01s  0.4s          -   1 KiB',
    ],
  )
  t.same(formatRows([]).length, 1)
})

test('a peer is shown as stalled once it has taken nothing for a second', async (t) => {
  const shown = (client: number | null, upstream: number | null): string => {
    const stalledMs = { client, upstream }
    const wait = { state: 'open', waitsFor: 'data', stalledMs, kernel: null, next: null }
    return formatRows([{ ...row, wait }])[1]!
  }
  for (const ms of [null, 0, 999]) t.match(shown(null, ms), / - +- +data +-$/, String(ms))
  t.match(shown(1000, 3), / - +1\.0s +data +-$/)
})

test('a table that is too wide loses the columns that tell least, and never who and how much', async (t) => {
  const wait: ConnectionRow['wait'] = {
    state: 'open',
    waitsFor: 'the client to take 12 KiB',
    stalledMs: { client: 4000, upstream: null },
    kernel: { client: 2048, upstream: 0 },
    next: { key: 'deadlines.write', reason: 'write_timeout', side: 'client', inMs: 26_000 },
  }
  const titles = (width: number): string =>
    formatRows([{ ...row, wait, gate: 'g:1' }], width)[0]!.replaceAll(/ {2,}/g, ' ')
  t.equal(
    titles(300),
    'GATE ID LISTENER PROTO CLIENT UPSTREAM PHASE AGE IDLE RATE QUEUED KERNEL STALLED WAITS FOR NEXT',
  )
  t.equal(titles(130), 'GATE ID LISTENER PROTO CLIENT AGE IDLE RATE QUEUED STALLED WAITS FOR NEXT')
  t.equal(titles(100), 'GATE ID CLIENT AGE RATE QUEUED STALLED WAITS FOR')
  t.equal(titles(60), 'GATE ID CLIENT AGE RATE QUEUED')
  t.equal(titles(10), 'GATE ID CLIENT QUEUED')
  const [, line = ''] = formatRows([{ ...row, wait }])
  t.match(line, /2 KiB +4\.0s +the client to take 12 KiB +write_timeout in 26s$/)
})

test('nothing in a row is an order to the terminal, and none is long enough to wrap it', async (t) => {
  const [, line = ''] = formatRows([
    { ...row, client: '\u001b]0;pwned\u0007\u009b31m\u202e', listener: 'x'.repeat(500), upstream: '\ud800' },
  ])
  t.notMatch(line, /[\p{C}\p{Zl}\p{Zp}]/u)
  t.match(line, '\\u001b]0;pwned\\u0007\\u009b31m')
  t.ok(line.length < 200)
})

test('what is escaped is still the same JSON', async (t) => {
  for (const text of ['\u009b31m', '\u202eabc\u2028', '\u{e0001}', 'plain ä 日本'])
    t.equal(JSON.parse(safe(JSON.stringify(text))), text)
})

test('an age is told in two units at the most', async (t) => {
  const table: [number, string][] = [
    [0, '0.0s'],
    [9949, '9.9s'],
    [9950, '10s'],
    [59_499, '59s'],
    [59_500, '1m00s'],
    [3_599_000, '59m59s'],
    [3_600_000, '1h00m'],
    [86_399_000, '23h59m'],
    [86_400_000, '1d00h'],
    [40 * 86_400_000, '40d00h'],
  ]
  for (const [ms, text] of table) t.equal(formatAge(ms), text, String(ms))
})

test('filters become a query; an order that is unknown is corrected', async (t) => {
  t.equal(
    queryOf({ protocol: 'ws', client: '::1', limit: '5', sort: 'age' }, 100).toString(),
    'protocol=websocket&client=%3A%3A1&limit=5',
  )
  t.equal(queryOf({}, 100).toString(), 'limit=100')
  t.equal(sortOf({}), 'age')
  t.throws(
    () => sortOf({ sort: 'rte' }),
    new UsageError('--sort must be one of age, idle, buffered, rate, not "rte"; did you mean rate?'),
  )
  t.throws(() => parse({ args: ['--nope'], options: {} }), { message: "unknown option '--nope'" })
})
