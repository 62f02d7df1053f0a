import { test } from 'tap'
import { makeClose, type Close } from '../../src/core/close.ts'
import { Exchange } from '../../src/http1/exchange.ts'
import { LastAnswer } from '../../src/http1/last-answer.ts'
import type { HttpOptions } from '../../src/http1/options.ts'
import { judgeRequest } from '../../src/http1/request-head.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { fieldsOf } from '../support/fields.ts'
import { untrusted } from '../support/forwarded.ts'

const options = { maxHeaderBytes: 16_384, maxBodyBytes: 1e12 } as HttpOptions
const GIB = 1024 * 1024 * 1024
const answered = makeClose('eof', 'client', 'relay')

interface Given {
  isJudged?: boolean
  close?: Close
}

function unwanted(
  header: [string, string] | null,
  { isJudged = true, close = answered }: Given = {},
): number | null {
  const last = new LastAnswer(options, { clock: fakeClock(), leaving: () => null })
  const headers = fieldsOf(header === null ? [['Host', 'a']] : [['Host', 'a'], header])
  const exchange = new Exchange({ method: 'POST', target: '/', version: '1.1', headers }, 0)
  const judged = judgeRequest(exchange.request, options, untrusted)
  if ('reason' in judged) throw new Error(judged.detail)
  if (isJudged) exchange.judge(judged)
  last.onRequest(exchange)
  return last.unwanted(close)
}

test('the rest of an answered request is read as far as it was announced, and 1 GiB at the most', (t) => {
  t.equal(unwanted(['Content-Length', '20000000']), 20_000_000)
  t.equal(unwanted(['Content-Length', '20000000000']), GIB)
  t.equal(unwanted(['Transfer-Encoding', 'chunked']), GIB)
  t.equal(unwanted(null), null)
  t.equal(unwanted(['Content-Length', '0']), null)
  t.end()
})

test('of a request that was refused by its head no length is known', (t) => {
  t.equal(unwanted(['Content-Length', '5'], { isJudged: false }), GIB)
  t.equal(unwanted(['Transfer-Encoding', 'chunked'], { isJudged: false }), GIB)
  t.equal(unwanted(null, { isJudged: false }), null)
  t.end()
})

test('nothing is read to be dropped where a limit forbids to read, or an operator does not wait', (t) => {
  for (const close of [
    makeClose('rate_limited', 'client', 'relay'),
    makeClose('killed', 'sidegate', 'relay'),
    makeClose('drain_timeout', 'sidegate', 'relay'),
  ])
    t.equal(unwanted(['Content-Length', '5'], { close }), null, close.reason)
  t.end()
})
