import { test } from 'tap'
import { IdleWait } from '../../src/exchange/idle-wait.ts'

const options = { handshakeMs: 100, keepAliveMs: 1000 }

test('a client that sends no further request is let go at http.keepAlive, not before', async (t) => {
  const wait = new IdleWait(0)
  t.equal(wait.check(999, 0, options, 1), null)
  t.match(wait.check(1000, 0, options, 1), { reason: 'eof', side: 'sidegate' })
})

test('where memory is short the wait for a next request is shorter', async (t) => {
  const wait = new IdleWait(0)
  t.equal(wait.check(249, 0, options, 0.25), null)
  t.match(wait.check(250, 0, options, 0.25), { reason: 'eof' })
})

test('a head that has begun has deadlines.handshake in total: more bytes of it do not extend that', async (t) => {
  const wait = new IdleWait(0)
  wait.begin(0, 50)
  t.equal(wait.check(900, 50, options, 1), null, 'what was read before is no head')
  t.equal(wait.check(950, 51, options, 1), null)
  t.equal(wait.check(1049, 52, options, 1), null, 'who begins a head late is spared by http.keepAlive')
  t.match(wait.check(1050, 53, options, 1), { reason: 'handshake_timeout', side: 'client', phase: 'handshake' })
})

test('the next answer begins the wait anew; who has sent a part of a head is not quiet', async (t) => {
  const wait = new IdleWait(0)
  wait.check(500, 1, options, 1)
  t.equal(wait.quietMs(600), 0)
  wait.begin(700, 80)
  t.equal(wait.quietMs(800), 100)
  t.equal(wait.check(1699, 80, options, 1), null)
  t.match(wait.check(1700, 80, options, 1), { reason: 'eof' })
})
