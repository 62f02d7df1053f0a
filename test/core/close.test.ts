import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import {
  closeFromDialError,
  closeFromError,
  httpStatus,
  makeClose,
  phases,
  reasonNames,
  reasonRow,
  sides,
  websocketCode,
} from '../../src/core/close.ts'
import type { Close, Manner, Reason } from '../../src/core/close.ts'

const root = join(import.meta.dirname, '../..')

interface Row {
  manner: Manner
  /** The status for an end by the client or the gate; and for one by the upstream. */
  http: readonly [number, number] | null
  /** The code for each peer, for an end by the client, by the upstream, or by the gate. */
  client: readonly [number | null, number | null, number | null]
  upstream: readonly [number | null, number | null, number | null]
}

const none = [null, null, null] as const
const row = (
  manner: Manner,
  status: number | readonly [number, number] | null,
  client: Row['client'] = none,
  upstream: Row['upstream'] = none,
): Row => ({
  manner,
  http: typeof status === 'number' ? [status, status] : status,
  client,
  upstream,
})

// The contract of each reason. An upstream gets 1001 where its client gets 1012 or 1013:
// "restart" and "try again" are for peers that may reconnect; from an upstream's view its client just goes away.
const table: Record<Reason, Row> = {
  eof: row('flush', null),
  aborted: row('flush', 502, none, [1001, null, 1001]),
  reset: row('deliver', 502, none, [1001, null, 1001]),
  connect_refused: row('flush', 502),
  connect_failed: row('flush', 502),
  connect_timeout: row('flush', 504),
  no_upstream: row('flush', 503),
  handshake_timeout: row('drop', 408),
  response_timeout: row('flush', 504),
  request_timeout: row('flush', 408),
  idle_timeout: row('flush', [408, 504], [1001, 1001, 1001], [1001, 1001, 1001]),
  write_timeout: row('reset', null),
  half_close_timeout: row('reset', null),
  ping_timeout: row('drop', [408, 504], none, [1001, null, 1001]),
  lifetime_timeout: row('flush', 503, [1001, 1001, 1001], [1001, 1001, 1001]),
  drain: row('flush', 503, [1012, 1012, 1012], [1001, 1012, 1001]),
  drain_timeout: row('reset', null),
  reloaded: row('flush', 503, [1012, 1012, 1012], [1001, 1012, 1001]),
  rate_limited: row('flush', 429, [1008, 1011, 1011], [1001, 1008, 1001]),
  too_slow: row('reset', 408),
  slow_consumer: row('reset', null, [1008, 1011, 1011], [1001, 1008, 1001]),
  message_too_big: row('flush', [413, 502], [1009, 1011, 1011], [1001, 1009, 1001]),
  protocol_error: row('flush', [400, 502], [1002, 1011, 1011], [1001, 1002, 1001]),
  denied: row('drop', 403),
  too_many: row('drop', 503),
  overloaded: row('reset', 503, [1013, 1013, 1013], [1001, 1013, 1001]),
  upstream_unhealthy: row('flush', 503, [1001, 1012, 1012], [1001, 1001, 1001]),
  killed: row('reset', 503, [1001, 1001, 1001], [1001, 1001, 1001]),
  internal_error: row('reset', 500, [1011, 1011, 1011], [1011, 1011, 1011]),
}

test('the reasons are those of the table, each with its manner, HTTP status and close codes', (t) => {
  t.same([...reasonNames].sort(), Object.keys(table).sort())
  for (const reason of reasonNames) {
    const { manner, http, client, upstream } = table[reason]
    t.equal(reasonRow(reason).manner, manner, reason)
    for (const [index, side] of sides.entries()) {
      const close = makeClose(reason, side, 'relay')
      t.equal(
        httpStatus(close),
        http === null ? null : http[side === 'upstream' ? 1 : 0],
        `${reason} by the ${side}: HTTP`,
      )
      t.equal(websocketCode(close, 'client'), client[index], `${reason} by the ${side}: code for the client`)
      t.equal(
        websocketCode(close, 'upstream'),
        upstream[index],
        `${reason} by the ${side}: code for the upstream`,
      )
    }
  }
  t.end()
})

test('every reason is explained, in sentences, and a timeout names its key', (t) => {
  for (const reason of reasonNames) {
    const { when, causes, key } = reasonRow(reason)
    for (const text of [when, causes]) t.match(text, /^[A-Z`][\s\S]*\.$/, reason)
    t.ok(reason.length <= 123, 'fits a close frame')
    t.match(reason, /^[a-z]+(_[a-z]+)*$/)
    if (reason.endsWith('_timeout')) t.ok(key !== undefined, reason)
  }
  t.end()
})

test('every deadline of the configuration ends as the reason of its own name', (t) => {
  for (const [key, reason] of [
    ['deadlines.handshake', 'handshake_timeout'],
    ['deadlines.connect', 'connect_timeout'],
    ['deadlines.response', 'response_timeout'],
    ['deadlines.request', 'request_timeout'],
    ['deadlines.write', 'write_timeout'],
    ['deadlines.halfClose', 'half_close_timeout'],
    ['deadlines.lifetime', 'lifetime_timeout'],
  ] as const) {
    t.equal(reasonRow(reason).key, key)
  }
  t.same(reasonRow('idle_timeout').key?.split(', '), [
    'deadlines.idle',
    'deadlines.clientIdle',
    'deadlines.upstreamIdle',
  ])
  t.end()
})

test('a rule with a status or a code of its own overrides the table, the code only for who broke it', (t) => {
  const close: Close = {
    ...makeClose('protocol_error', 'client', 'relay'),
    httpStatus: 426,
    websocketCode: 1007,
  }
  t.equal(httpStatus(close), 426)
  t.equal(websocketCode(close, 'client'), 1007)
  t.equal(websocketCode(close, 'upstream'), 1001)
  t.end()
})

test('a close has a detail only where there is one', (t) => {
  t.same(Object.keys(makeClose('eof', 'client', 'relay')), ['reason', 'side', 'phase'])
  t.equal(makeClose('eof', 'client', 'relay', 'code 1000').detail, 'code 1000')
  t.same(phases, ['admit', 'handshake', 'connect', 'relay', 'close'])
  t.end()
})

function failure(code: string | undefined, message = `read ${code}`): NodeJS.ErrnoException {
  const error: NodeJS.ErrnoException = new Error(message)
  if (code !== undefined) error.code = code
  return error
}

test('an error on a connection is reset with its errno; an unknown one with its words too, in bounds', (t) => {
  for (const code of [
    'ECONNRESET',
    'EPIPE',
    'ECONNABORTED',
    'ETIMEDOUT',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'ENOTCONN',
  ]) {
    t.same(closeFromError(failure(code), 'upstream', 'relay'), {
      reason: 'reset',
      side: 'upstream',
      phase: 'relay',
      detail: code,
    })
  }
  t.equal(closeFromError(failure('EWEIRD', 'it broke'), 'client', 'handshake').detail, 'EWEIRD: it broke')
  t.equal(closeFromError(failure(undefined, 'it broke'), 'client', 'relay').reason, 'reset')
  t.equal(closeFromError(failure('EWEIRD', 'x'.repeat(1000)), 'client', 'relay').detail?.length, 120)
  t.end()
})

test('a dial that the upstream refused is connect_refused, and any other failure connect_failed, by the upstream', (t) => {
  t.same(closeFromDialError(failure('ECONNREFUSED')), {
    reason: 'connect_refused',
    side: 'upstream',
    phase: 'connect',
    detail: 'ECONNREFUSED',
  })
  for (const code of [
    'ENOTFOUND',
    'EAI_AGAIN',
    'EHOSTUNREACH',
    'ENETUNREACH',
    'EMFILE',
    'ENOENT',
    'ECONNRESET',
    'ETIMEDOUT',
    'EADDRNOTAVAIL',
  ]) {
    t.same(closeFromDialError(failure(code)), {
      reason: 'connect_failed',
      side: 'upstream',
      phase: 'connect',
      detail: code,
    })
  }
  t.equal(closeFromDialError(failure(undefined, 'no words')).detail, 'no words')
  t.end()
})

function files(folder: string, end: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith(end),
  )
}

test('every reason is in the title of at least one test', (t) => {
  const titles = files('test', '.test.ts')
    .flatMap((file) => readFileSync(join(root, 'test', file), 'utf8').split('\n'))
    .filter((line) => /\btest\(\s*['"`]|\btitle: ['"`]/.test(line))
  for (const reason of reasonNames) {
    const word = new RegExp(`(?<!\\w)${reason}(?!\\w)`)
    t.ok(
      titles.some((title) => word.test(title)),
      reason,
    )
  }
  t.end()
})
