import { test } from 'tap'
import { http2Codes, makeClose } from '../../src/core/close.ts'
import type { Close } from '../../src/core/close.ts'
import { Fields, NO_FIELDS } from '../../src/http1/fields.ts'
import { grpcMessage, grpcStatusOf, isGrpcType } from '../../src/http1/grpc.ts'
import { refusalOf } from '../../src/http1/refusal.ts'

test('a call is known by its content type, and grpc-web is none', (t) => {
  for (const type of ['application/grpc', 'application/grpc+proto', 'Application/gRPC;charset=utf-8'])
    t.ok(isGrpcType(type), type)
  for (const type of [
    'application/grpc-web',
    'application/grpc-web+proto',
    'application/grpcx',
    'text/plain',
    null,
    undefined,
  ])
    t.notOk(isGrpcType(type), String(type))
  t.end()
})

const refused = (close: Close, how: { isAnswerBegun?: true; isCall?: false; isOfStream?: true } = {}) =>
  refusalOf(close, {
    request: { method: 'POST' },
    isAnswerBegun: false,
    isCall: true,
    isOfStream: false,
    ...how,
  })?.toString('latin1') ?? null
const reset = (code: number): Close => ({ ...makeClose('reset', 'upstream', 'relay'), http2Code: code })

test('a refusal of a call is a grpc-status in a head alone, by the reason', (t) => {
  const codes = [
    [makeClose('no_upstream', 'upstream', 'connect'), 14],
    [makeClose('connect_refused', 'upstream', 'connect'), 14],
    [makeClose('connect_timeout', 'upstream', 'connect'), 14],
    [makeClose('overloaded', 'sidegate', 'relay'), 14],
    [makeClose('too_many', 'client', 'admit'), 14],
    [makeClose('rate_limited', 'client', 'relay'), 14],
    [makeClose('denied', 'client', 'handshake'), 7],
    [makeClose('message_too_big', 'client', 'relay'), 8],
    [makeClose('message_too_big', 'upstream', 'relay'), 8],
    [makeClose('request_timeout', 'client', 'relay'), 4],
    [makeClose('protocol_error', 'client', 'handshake'), 13],
    [{ ...makeClose('protocol_error', 'client', 'handshake'), httpStatus: 405 }, 12],
    [{ ...makeClose('protocol_error', 'client', 'handshake'), httpStatus: 417 }, 2],
    [makeClose('internal_error', 'sidegate', 'relay'), 13],
    [reset(http2Codes.NO_ERROR), 14],
    [reset(http2Codes.REFUSED_STREAM), 14],
    [reset(http2Codes.INTERNAL_ERROR), 13],
    [reset(http2Codes.PROTOCOL_ERROR), 13],
    [reset(http2Codes.ENHANCE_YOUR_CALM), 8],
    [reset(http2Codes.INADEQUATE_SECURITY), 7],
    [reset(http2Codes.CANCEL), 1],
  ] as const
  for (const [close, code] of codes) {
    const answer = refused(close)
    t.match(answer, /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/grpc\r\nContent-Length: 0\r\n/)
    t.match(answer, new RegExp(`\r\nGrpc-Status: ${code}\r\nGrpc-Message: ${close.reason}\r\n`), close.reason)
  }
  t.equal(refused(makeClose('write_timeout', 'client', 'relay')), null, 'the table has no answer')
  t.equal(refused(makeClose('aborted', 'client', 'relay')), null, 'a caller that left')
  t.equal(refused(reset(http2Codes.CANCEL), { isOfStream: true }), null, 'RST_STREAM says it better')
  t.match(refused(reset(http2Codes.CANCEL), { isOfStream: true, isCall: false }), /^HTTP\/1\.1 502 /)
  t.equal(refused(codes[0][0], { isAnswerBegun: true }), null, 'an answer that has begun')
  t.match(refused(codes[0][0], { isCall: false }), /^HTTP\/1\.1 503 /, 'what is no call')
  t.end()
})

test('a message is printable ASCII without %', (t) => {
  t.equal(
    grpcMessage(makeClose('connect_failed', 'upstream', 'connect', '100 % caf\xe9\n')),
    'connect_failed: 100 %25 caf%C3%A9%0A',
  )
  t.end()
})

const fields = (text: string): Fields => new Fields(text, 0, text.length)

test('the code of a call is that of its trailers, of its head, or of our refusal', (t) => {
  const status = (trailers: string, head: string, end: Close | null = null, isAnswerBegun = true): string =>
    grpcStatusOf(
      {
        answer: { headers: fields(head).list },
        answerBody: { trailers: fields(trailers) },
        isAnswerBegun,
        isOfStream: true,
      },
      end,
    )
  t.equal(status('grpc-status: 0\r\n', ''), '0')
  t.equal(status('grpc-status: 5\r\n', 'Grpc-Status: 0\r\n'), '5')
  t.equal(status('', 'Grpc-Status: 16\r\n'), '16')
  t.equal(status('', ''), 'other')
  for (const odd of ['17', '007', 'x', '-1', '']) t.equal(status(`grpc-status: ${odd}\r\n`, ''), 'other', odd)
  const lost = makeClose('reset', 'upstream', 'relay')
  t.equal(status('', '', lost), 'none', 'cut')
  t.equal(status('', '', lost, false), '14')
  t.equal(status('', '', reset(http2Codes.INTERNAL_ERROR), false), '13')
  t.equal(status('', '', reset(http2Codes.CANCEL), false), 'none')
  t.equal(
    grpcStatusOf(
      { answer: null, answerBody: { trailers: NO_FIELDS }, isAnswerBegun: false, isOfStream: false },
      makeClose('write_timeout', 'client', 'relay'),
    ),
    'none',
  )
  t.end()
})
