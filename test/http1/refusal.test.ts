import { test } from 'tap'
import { httpStatus, makeClose, reasonNames } from '../../src/core/close.ts'
import { refusal } from '../../src/http1/refusal.ts'
import { parseAnswer } from '../support/http.ts'

test('every reason that has a status is answered whole, with its name in the body, and nothing is kept alive', (t) => {
  for (const reason of reasonNames) {
    for (const side of ['client', 'upstream'] as const) {
      const close = makeClose(reason, side, 'handshake', 'why')
      const bytes = refusal(close)
      if (httpStatus(close) === null) {
        t.equal(bytes, null, `${reason} has no answer`)
        continue
      }
      const answer = parseAnswer(bytes!)
      t.equal(answer.status, httpStatus(close), `${reason} of the ${side}`)
      t.match(answer.line, /^HTTP\/1\.1 \d{3} [A-Z][A-Za-z' -]+$/)
      t.equal(answer.body.toString(), `${reason}: why\n`)
      t.same([answer.isWhole, answer.rest.length], [true, 0])
      t.equal(answer.header('connection'), 'close')
      t.equal(answer.header('cache-control'), 'no-store')
      t.equal(answer.header('content-type'), 'text/plain; charset=utf-8')
      t.match(
        answer.header('retry-after') ?? 'never',
        ['too_many', 'overloaded', 'rate_limited'].includes(reason) ? /^[1-5]$/ : 'never',
        'may come again',
      )
    }
  }
  t.end()
})

test('a Close without detail is its reason alone', (t) => {
  t.equal(parseAnswer(refusal(makeClose('denied', 'client', 'handshake'))!).body.toString(), 'denied\n')
  t.end()
})

test('426 says which upgrade and which version would do', (t) => {
  const answer = parseAnswer(
    refusal({ ...makeClose('protocol_error', 'client', 'handshake', 'old'), httpStatus: 426 })!,
  )
  t.equal(answer.line, 'HTTP/1.1 426 Upgrade Required')
  t.same(
    ['connection', 'upgrade', 'sec-websocket-version'].map((name) => answer.header(name)),
    ['close, Upgrade', 'websocket', '13'],
  )
  t.end()
})

test('a status without a name of its own still makes a status line', (t) => {
  const answer = parseAnswer(
    refusal({ ...makeClose('protocol_error', 'client', 'handshake'), httpStatus: 499 })!,
  )
  t.equal(answer.line, 'HTTP/1.1 499 Error')
  t.end()
})

test('Retry-After is said where it is given', (t) => {
  const after = (random: number): string | null =>
    parseAnswer(refusal(makeClose('too_many', 'client', 'admit'), random)!).header('retry-after')
  t.same([after(0), after(0.5), after(0.999)], ['1', '3', '5'])
  t.end()
})

test('what a client named cannot end the head early', (t) => {
  const answer = parseAnswer(
    refusal(makeClose('protocol_error', 'client', 'handshake', 'Connection lists x-forwarded-\xe9'))!,
  )
  t.equal(answer.isWhole, true)
  t.equal(answer.rest.length, 0)
  t.end()
})
