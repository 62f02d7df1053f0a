import { test } from 'tap'
import { makeClose } from '../../src/core/close.ts'
import { Budget, calm } from '../../src/core/strain.ts'
import { StreamClaims } from '../../src/http2/stream-claims.ts'
import { eventually } from '../support/eventually.ts'
import * as h2 from '../support/h2-frames.ts'
import { memorySession } from './memory-session.ts'

const KIB = 1024

function setUp(roomBytes = 640 * KIB) {
  const ledger = new Budget()
  ledger.limitBytes = roomBytes
  return { ledger, one: new StreamClaims(ledger), other: new StreamClaims(ledger) }
}

test('each stream that begins claims 64 KiB of what all connections share, and gives it back with its end', (t) => {
  const { ledger, one, other } = setUp()
  one.count(4)
  other.count(5)
  t.equal(ledger.heldBytes, 9 * 64 * KIB)
  t.equal(one.hasRoom, true, 'the tenth fits to the byte')
  one.count(5)
  t.same([one.hasRoom, other.hasRoom], [false, false])
  other.count(4)
  t.equal(one.hasRoom, true)
  one.count(0)
  other.count(0)
  t.equal(ledger.heldBytes, 0)
  t.end()
})

test('a stream that stays for two sweeps is in use, and claims nothing more', (t) => {
  const { ledger, one } = setUp()
  one.count(10)
  one.sweep()
  t.equal(one.hasRoom, false, 'it may have begun just before the sweep')
  one.sweep()
  t.equal(ledger.heldBytes, 0)
  one.count(13)
  t.equal(ledger.heldBytes, 3 * 64 * KIB)
  one.count(9)
  one.count(11)
  t.equal(ledger.heldBytes, 2 * 64 * KIB, 'with four that ended two of the others are new')
  one.sweep()
  one.sweep()
  one.count(0)
  t.equal(ledger.heldBytes, 0)
  t.end()
})

test('requests that come and go claim for one at a time', (t) => {
  const { ledger, one } = setUp()
  for (let nth = 0; nth < 1000; nth++) {
    one.count(1)
    t.equal(ledger.heldBytes, 64 * KIB)
    one.count(0)
    if (nth % 7 === 0) one.sweep()
  }
  t.equal(ledger.heldBytes, 0)
  t.end()
})

test('without a bound there is always room', (t) => {
  const claims = new StreamClaims(new Budget())
  claims.count(1_000_000)
  t.equal(claims.hasRoom, true)
  t.end()
})

test('what the streams of a connection claim is given back at the end of each, and of the connection', async (t) => {
  const strain = calm()
  const { send, served, connection, end } = memorySession(t, { context: { strain } })
  for (const id of [1, 3, 5]) send(h2.headers(id, h2.GET))
  await eventually(() => served.length === 3)
  t.equal(strain.claims.heldBytes, 3 * 64 * KIB)
  t.same(
    served.map((one) => one.connection.isOneTooMany),
    [false, false, false],
  )
  served[1]!.done()
  await eventually(() => strain.claims.heldBytes === 2 * 64 * KIB)
  strain.claims.limitBytes = 3 * 64 * KIB
  for (const id of [7, 9]) send(h2.headers(id, h2.GET))
  await eventually(() => served.length === 5)
  t.same(
    served.slice(3).map((one) => one.connection.isOneTooMany),
    [false, true],
  )
  connection.owner!.close(makeClose('killed', 'sidegate', 'relay'))
  await end()
  t.equal(strain.claims.heldBytes, 0)
})
