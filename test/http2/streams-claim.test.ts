import { test } from 'tap'
import { LocalSum } from '../../src/core/cells.ts'
import { Claims, STREAM_BYTES } from '../../src/core/claims.ts'
import { makeClose } from '../../src/core/close.ts'
import { Budget, calm } from '../../src/core/strain.ts'
import { eventually } from '../support/eventually.ts'
import * as h2 from '../support/h2-frames.ts'
import { memorySession } from './memory-session.ts'

test('what the streams of a connection claim is given back at the end of each, and of the connection', async (t) => {
  const claims = new Claims(new LocalSum(), { now: () => 0 })
  const strain = calm(new Budget(), claims)
  const { send, served, connection, end } = memorySession(t, { context: { strain } })
  const claimed = (): number => claims.bytes / STREAM_BYTES
  for (const id of [1, 3, 5]) send(h2.headers(id, h2.GET))
  await eventually(() => served.length === 3)
  t.equal(claimed(), 3)
  t.same(
    served.map((one) => one.connection.isOneTooMany),
    [false, false, false],
  )
  served[1]!.done()
  await eventually(() => claimed() === 2)
  claims.roomBytes = 3 * STREAM_BYTES
  for (const id of [7, 9]) send(h2.headers(id, h2.GET))
  await eventually(() => served.length === 5)
  t.same(
    served.slice(3).map((one) => one.connection.isOneTooMany),
    [false, true],
  )
  connection.owner!.close(makeClose('killed', 'sidegate', 'relay'))
  await end()
  t.equal(claimed(), 0)
})

test('a sweep of the connection lets old claims go, which other threads wait for', async (t) => {
  const clock = { ms: 0, now: () => clock.ms }
  const claims = new Claims(new LocalSum(), clock)
  const line = memorySession(t, { context: { strain: calm(new Budget(), claims) } })
  line.send(h2.headers(1, h2.GET))
  await line.stream()
  clock.ms = 600
  t.equal(claims.bytes, STREAM_BYTES)
  await line.clock.pass(250)
  t.equal(claims.bytes, 0)
})
