import { test } from 'tap'
import { UNIX_CLIENT } from '../../src/core/address.ts'
import { makeClose, reasonNames, type Side } from '../../src/core/close.ts'
import { Connection } from '../../src/core/connection.ts'
import { closingSides } from '../../src/metrics/expected-closes.ts'
import { outcomeOfConnection, outcomeOfRequest } from '../../src/metrics/outcomes.ts'

function ended(reason: (typeof reasonNames)[number], side: Side): Connection {
  const connection = new Connection(1, 'l', 'tcp', UNIX_CLIENT, 0)
  connection.end = makeClose(reason, side, 'relay')
  return connection
}

test('no end that a client causes is bad, and of the others those that nobody ordered', (t) => {
  const bad = reasonNames.flatMap((reason) =>
    closingSides[reason]
      .filter((side) => outcomeOfConnection(ended(reason, side)) === 'bad')
      .map((side) => `${side} ${reason}`),
  )
  t.same(
    bad.filter((one) => one.startsWith('client')),
    [],
  )
  t.same(
    bad.filter((one) => one.startsWith('sidegate')),
    ['sidegate overloaded', 'sidegate internal_error'],
  )
  const ofUpstream = reasonNames.filter((reason) =>
    (closingSides[reason] as readonly Side[]).includes('upstream'),
  )
  t.same(
    bad.filter((one) => one.startsWith('upstream')),
    ofUpstream.filter((reason) => reason !== 'eof').map((reason) => `upstream ${reason}`),
  )
  t.end()
})

test('a WebSocket that its service closes with 1011 is bad, with any other code good', (t) => {
  for (const [code, outcome] of [
    [1011, 'bad'],
    [1000, 'good'],
    [1001, 'good'],
  ] as const) {
    const connection = ended('eof', 'upstream')
    connection.protocol = 'websocket'
    connection.closing = { first: 'upstream', client: null, upstream: code }
    t.equal(outcomeOfConnection(connection), outcome, String(code))
  }
  t.end()
})

test('an HTTP connection is judged by its requests alone', (t) => {
  const connection = ended('reset', 'upstream')
  connection.protocol = 'http'
  t.equal(outcomeOfConnection(connection), null)
  t.equal(outcomeOfRequest(200, null), 'good')
  t.equal(outcomeOfRequest(500, null), 'bad')
  t.equal(outcomeOfRequest(200, makeClose('aborted', 'upstream', 'relay')), 'bad', 'an answer cut short')
  t.equal(outcomeOfRequest(503, makeClose('drain', 'sidegate', 'relay')), 'bad', 'a 5xx of ours')
  t.equal(
    outcomeOfRequest(200, makeClose('drain_timeout', 'sidegate', 'relay')),
    'good',
    'counted by the drain',
  )
  t.equal(outcomeOfRequest(null, makeClose('aborted', 'client', 'relay')), 'good')
  t.end()
})
