import { test } from 'tap'
import { calm } from '../../src/core/strain.ts'
import { CHUNK_COST } from '../../src/core/turns.ts'
import { Answers } from '../../src/http1/answers.ts'
import { Exchange } from '../../src/http1/exchange.ts'
import type { RequestHead } from '../../src/http1/head.ts'
import { Intake } from '../../src/http1/intake.ts'
import type { HttpOptions } from '../../src/http1/options.ts'
import { judgeRequest } from '../../src/http1/request-head.ts'
import type { Half } from '../../src/pair/half.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { fieldsOf } from '../support/fields.ts'
import { untrusted } from '../support/forwarded.ts'

const options = { maxHeaderBytes: 16_384, maxBodyBytes: 1e9, lenient: 'upstream' } as HttpOptions

class Spender {
  spent = 0
  activity = 0
  readonly sink = { cork() {}, uncork() {} }
  forward(): void {}
  forwardHead(): void {}
  hold(): void {}
  letGo(): void {}
  spend(cost: number): void {
    this.spent += cost
  }
}

function exchangeOf(method: string, ...headers: [string, string][]): Exchange {
  const request: RequestHead = {
    method,
    target: '/',
    version: '1.1',
    headers: fieldsOf([['Host', 'a'], ...headers]),
  }
  const exchange = new Exchange(request, 0)
  const judged = judgeRequest(request, options, untrusted)
  if ('reason' in judged) throw new Error(judged.detail)
  exchange.judge(judged)
  return exchange
}

const chunks = (count: number): Buffer => Buffer.from('2\r\nab\r\n'.repeat(count))

test('each chunk of an answer is work of the half that brings it, a body of known length is none', (t) => {
  const half = new Spender()
  const answers = new Answers(half as unknown as Half, options, { isLast: () => false })
  const exchange = exchangeOf('GET')
  const head = Buffer.from('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
  t.equal(answers.read(exchange, head, head.length), null)
  const [few, many] = [chunks(3), chunks(1000)]
  answers.read(exchange, few, few.length)
  t.equal(half.spent, 3 * CHUNK_COST)
  answers.read(exchange, many, many.length)
  t.equal(half.spent, 1003 * CHUNK_COST)
  const counted = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde')
  answers.read(exchangeOf('GET'), counted, counted.length)
  t.equal(half.spent, 1003 * CHUNK_COST)
  t.end()
})

test('so is each chunk of a request', (t) => {
  const half = new Spender()
  const exchange = exchangeOf('POST', ['Transfer-Encoding', 'chunked'])
  const owner = { exchange, isOver: false, onHeadBegun() {}, onRequest() {}, close: () => t.fail() }
  const intake = new Intake(half as unknown as Half, options, owner, { clock: fakeClock(), strain: calm() })
  const many = chunks(100)
  intake.onBytes(many, many.length)
  t.equal(half.spent, 100 * CHUNK_COST)
  t.end()
})
