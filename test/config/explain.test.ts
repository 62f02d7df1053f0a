import { test } from 'tap'
import { reasonNames, reasonRow } from '../../src/core/close.ts'
import { explain, explainText, reasonsTable } from '../../src/config/explain.ts'

test('a reason names the keys that govern it, with their defaults', async (t) => {
  t.strictSame(explain('write_timeout').keys, [
    { name: 'deadlines.write', default: '30s, and 5m for `protocol: tcp`' },
  ])
  t.strictSame(explain('idle_timeout').keys, [
    { name: 'deadlines.idle', default: '1h' },
    { name: 'deadlines.clientIdle', default: 'off' },
    { name: 'deadlines.upstreamIdle', default: 'off, but 60s inside the body of a plain HTTP answer' },
  ])
  t.strictSame(explain('reloaded').keys, [{ name: 'listeners', default: '' }])
  t.strictSame(explain('eof').keys, [])
})

test('every key that governs a reason is one of the configuration', async (t) => {
  t.same(
    reasonNames.flatMap((reason) => explain(reason).keys.filter((key) => key.default === null)),
    [],
  )
})

test('every reason is explained in full, and is in the table', async (t) => {
  const table = reasonsTable()
  for (const reason of reasonNames) {
    const text = explainText(reason)
    for (const word of ['meaning', 'causes', 'key', 'manner', 'HTTP', 'WebSocket', 'metric'])
      t.match(text, new RegExp(`^  ${word} +\\S`, 'm'), `${reason} ${word}`)
    t.match(text, `sidegate_connections_closed_total{reason="${reason}"}`)
    t.match(table, new RegExp(`^${reason} +${reasonRow(reason).manner} `, 'm'))
  }
})

test('who gets which code is told apart where it differs', async (t) => {
  t.equal(explain('idle_timeout').websocket, '1001')
  t.equal(explain('reset').websocket, 'none to the client, 1001 to the upstream')
  t.equal(explain('drain').websocket, '1012 to the client, 1001 to the upstream')
  t.equal(
    explain('protocol_error').websocket,
    '1011 to the client, 1001 to the upstream, 1002 to the side that caused it',
  )
  t.equal(explain('message_too_big').http, '413 (by the client), 502 (by the upstream)')
  t.equal(explain('write_timeout').http, '-')
})
