import { test } from 'tap'
import { makeClose, type Close } from '../../src/core/close.ts'
import { calm } from '../../src/core/strain.ts'
import { Exchange } from '../../src/http1/exchange.ts'
import type { RequestHead } from '../../src/http1/head.ts'
import { Intake } from '../../src/http1/intake.ts'
import type { HttpOptions } from '../../src/http1/options.ts'
import { judgeRequest } from '../../src/http1/request-head.ts'
import type { Half } from '../../src/pair/half.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { untrusted } from '../support/forwarded.ts'

const options = {
  maxHeaderBytes: 16_384,
  maxBodyBytes: 1e9,
  lenient: 'upstream',
  hasVia: false,
} as HttpOptions

/** A client whose upstream is not there yet. */
function client(strain = calm(), clock = fakeClock()) {
  const half = {
    activity: 0,
    flow: { sent: 0 },
    sink: { cork() {}, uncork() {} },
    forward() {},
    forwardHead() {},
    spend() {},
    hold() {},
    letGo() {},
  } as unknown as Half
  const owner = {
    exchange: null as Exchange | null,
    isOver: false,
    end: null as Close | null,
    onHeadBegun() {},
    onRequest(request: RequestHead) {
      owner.exchange = new Exchange(request, clock.now())
      const judged = judgeRequest(request, options, untrusted)
      if ('reason' in judged) return owner.close(judged)
      owner.exchange.judge(judged)
    },
    close(close: Close) {
      owner.end = close
      owner.isOver = true
      intake.drop()
    },
    reach() {
      owner.exchange!.ask(half, clock.now(), false)
      intake.goOn()
    },
    finish() {
      owner.exchange = null
      intake.goOn()
    },
  }
  const intake: Intake = new Intake(half, options, owner, { clock, strain })
  const say = (text: string): void => intake.onBytes(Buffer.from(text), text.length)
  return { clock, budget: strain.early, owner, intake, say }
}

const post = (body: string, length = body.length): string =>
  `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${body}`
const get = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'
const full = makeClose('overloaded', 'sidegate', 'relay', 'memory.buffered')

test('what waits for the upstream, and what comes before its turn, is counted until it goes on', (t) => {
  const { budget, owner, say } = client()
  say(post('0123456789', 15))
  t.equal(budget.heldBytes, 10)
  say('01234' + get)
  t.equal(budget.heldBytes, 15 + get.length)
  owner.reach()
  t.equal(budget.heldBytes, get.length)
  owner.finish()
  t.equal(budget.heldBytes, 0)
  owner.finish()
  say(post('0123456789') + get)
  t.equal(
    budget.heldBytes,
    10 + get.length,
    'of the second, nothing more is read before the first is answered',
  )
  owner.close(makeClose('eof', 'client', 'relay'))
  t.equal(budget.heldBytes, 0)
  t.end()
})

for (const [title, text] of [
  ['a body', post('x'.repeat(60), 100)],
  [
    'a body in chunks',
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3c\r\n' + 'x'.repeat(60),
  ],
  ['requests before their turn', get + get + get + get],
])
  test(`${title} for which there is no room ends its client, and whoever brings little is served`, (t) => {
    const strain = calm()
    strain.early.mostBytes = 100
    const [one, other, third] = [client(strain), client(strain), client(strain)]
    one.say(text!)
    const held = strain.early.heldBytes
    t.ok(held >= 60 && held <= 100, `${held} bytes`)
    t.equal(one.owner.end, null)
    other.say(text!)
    t.same(other.owner.end, full)
    t.equal(strain.early.heldBytes, held)
    third.say(get)
    t.equal(third.owner.end, null)
    one.owner.reach()
    one.owner.close(makeClose('eof', 'client', 'relay'))
    t.equal(strain.early.heldBytes, 0)
    t.end()
  })

test('a body whose upstream is there needs no room', (t) => {
  const { owner, budget, say } = client()
  budget.mostBytes = 10
  say(post('', 1000))
  owner.reach()
  say('x'.repeat(1000))
  t.equal(owner.end, null)
  t.equal(budget.heldBytes, 0)
  t.end()
})

test('bytes wait since none of them last went on', async (t) => {
  const { clock, intake, owner, say } = client()
  t.equal(intake.heldSince, null)
  say(get + get)
  const began = clock.now()
  t.equal(intake.heldSince, began)
  await clock.pass(1000)
  say(get)
  t.equal(intake.heldSince, began, 'more of them is no progress')
  await clock.pass(1000)
  owner.reach()
  t.equal(intake.heldSince, began)
  owner.finish()
  t.equal(intake.heldSince, began + 2000)
  owner.finish()
  t.equal(intake.heldSince, null)
})
