// The head of an upstream's answer, judged: it has one framing, and the judgement says which part of it the
// client gets and whether its connection can be kept. The client's status line and framing are ours.

import { asksToBind, isChallenge } from './authentication.ts'
import type { Framing } from './body.ts'
import { framingFaults } from './fault.ts'
import { endToEndHeaders, lengthPattern, parseAnswerHead, withCrlf, without } from './head.ts'
import type { AnswerHead } from './head.ts'
import { Field } from './fields.ts'
import {
  CONNECTION,
  CONTENT_LENGTH,
  CONTENT_TYPE,
  KEEP_ALIVE,
  TRANSFER_ENCODING,
  UPGRADE,
  VIA,
} from './header-name.ts'

export interface JudgedAnswer {
  status: number
  reason: string
  /** The end-to-end headers, without those that frame the body. */
  headers: Field[]
  /** The value of Content-Length, also where there is no body; null where there is none. */
  length: number | null
  framing: Framing
  /** The upstream keeps its connection. */
  isKept: boolean
  /**
   * The answer has no body, and a careless service may send one all the same, later, which the next request
   * on the connection could get for an answer. A 304 that announces none is no reason for doubt: where many
   * answers are one, clients that share no connection behind them dial for nearly every request.
   */
  mayHaveMore: boolean
  /**
   * Milliseconds that the upstream keeps its connection without a further request; Infinity where it
   * announces none.
   */
  keptMs: number
  /** The answer consists of events: between two of them no more of it is due. */
  isEventStream: boolean
  /**
   * The answer authenticates the connection, not the request (NTLM, Negotiate): from here on only this client
   * may use the connection.
   */
  isPersonal: boolean
  /** It is a step of such a login: the client goes on with it on the same connection. */
  isChallenge: boolean
}

/** `HTTP/1.1 200`. */
const STATUS_LENGTH = 12
const bareLf = /(?:^|[^\r])\n/
const reasonPattern = /^[\t\x20-\x7e\x80-\xff]*$/
/** A connection is not used any more this long before the time that its upstream announces. */
const HINT_MARGIN_MS = 1000
const KEPT_OF_426 = [UPGRADE]
const timeoutPattern = /(?:^|[\s,;])timeout\s*=\s*"?([0-9]{1,9})/i

/**
 * The head in `text`, or the rule that it breaks. Lenient: lines may end with LF alone, and a malformed
 * reason is dropped.
 */
export function readAnswerHead(text: string, isLenient: boolean): AnswerHead | string {
  const strict = parseAnswerHead(text)
  // A head that is right strictly means the same when read leniently.
  if (!isLenient || typeof strict !== 'string') return strict
  const crlf = bareLf.test(text) ? withCrlf(text) : text
  const end = crlf.indexOf('\r\n')
  const reason = end <= STATUS_LENGTH ? '' : crlf.slice(STATUS_LENGTH, end)
  // Some parsers end a line at a CR alone, and would read the rest of the reason as a header.
  const isLeft = reasonPattern.test(reason) || reason.includes('\r')
  return parseAnswerHead(isLeft ? crlf : crlf.slice(0, STATUS_LENGTH) + crlf.slice(end))
}

/**
 * `method` is the request's. An answer that could be read as two messages breaks a rule whether lenient or
 * not.
 */
export function judgeAnswer(answer: AnswerHead, method: string, isLenient: boolean): JudgedAnswer | string {
  const { status, headers, version } = answer
  const isBodyless = method === 'HEAD' || status === 204 || status === 304
  const framing = framingOf(answer, isBodyless, isLenient)
  if (typeof framing === 'string') return framing
  // The Upgrade header is part of a 426 (RFC 9110 section 15.5.22).
  const passed = endToEndHeaders(headers, status === 426 ? { keep: KEPT_OF_426, isLenient } : { isLenient })
  if (typeof passed === 'string') return `Connection lists ${passed}`
  const words = headers.tokens(CONNECTION)
  return {
    status,
    reason: answer.reason,
    headers: headers.has(CONTENT_LENGTH) ? without(passed, CONTENT_LENGTH) : passed,
    length: framing.length,
    framing: framing.framing,
    isKept:
      (version === '1.1' ? !words.includes('close') : words.includes('keep-alive')) &&
      !isDoubtful(answer, isBodyless),
    mayHaveMore: mayHaveMore(answer, method, isBodyless),
    keptMs: keptMs(headers.value(KEEP_ALIVE)),
    isEventStream: headers.value(CONTENT_TYPE)?.toLowerCase().startsWith('text/event-stream') === true,
    isPersonal: status === 401 && asksToBind(headers),
    isChallenge: status === 401 && isChallenge(headers),
  }
}

function framingOf(
  answer: AnswerHead,
  isBodyless: boolean,
  isLenient: boolean,
): { framing: Framing; length: number | null } | string {
  const codings = answer.headers.values(TRANSFER_ENCODING)
  const written = answer.headers.values(CONTENT_LENGTH)
  const lengths =
    isLenient && written.length > 1 && written.every((value) => value === written[0])
      ? written.slice(0, 1)
      : written
  if (isBodyless && isLenient)
    return {
      framing: { kind: 'none' },
      length:
        lengths.length === 1 && lengthPattern.test(lengths[0]!) && answer.status !== 204
          ? Number(lengths[0])
          : null,
    }
  if (lengths.length > 1 || (lengths.length === 1 && !lengthPattern.test(lengths[0]!)))
    return framingFaults.length(answer.headers)
  const length = lengths.length === 1 ? Number(lengths[0]) : null
  if (codings.length > 0) {
    if (length !== null) return framingFaults.both(answer.headers)
    if (isBodyless) return { framing: { kind: 'none' }, length: null }
    const mayBeChunked = answer.version === '1.1' || isLenient
    const isChunked = mayBeChunked && codings.length === 1 && codings[0]!.toLowerCase() === 'chunked'
    return isChunked ? { framing: { kind: 'chunked' }, length: null } : framingFaults.coding(answer.headers)
  }
  // Some clients wait for the bytes that a 204 announces but never has (RFC 9110 section 8.6).
  if (isBodyless) return { framing: { kind: 'none' }, length: answer.status === 204 ? null : length }
  if (length !== null) return { framing: { kind: 'length', bytes: length }, length }
  // A 205 has no content (RFC 9110 section 15.3.6).
  return answer.status === 205
    ? { framing: { kind: 'none' }, length: 0 }
    : { framing: { kind: 'end' }, length: null }
}

/**
 * Whether the answer announces a body that it cannot have, announces it in two ways, or leaves open where a
 * forbidden body would end: the service may send one all the same, and later, as if it were the next answer.
 * The length in a HEAD's answer or a 304 is that of a GET, which is sound.
 */
function isDoubtful({ version, status, headers }: AnswerHead, isBodyless: boolean): boolean {
  const [codings, lengths] = [headers.values(TRANSFER_ENCODING).length, headers.values(CONTENT_LENGTH)]
  // HTTP/1.0 has no codings: some recipients read such a body to the FIN (RFC 9112 section 6.1).
  if (version === '1.0' && codings > 0) return true
  if (!isBodyless && status !== 205) return false
  if (status === 204) return codings > 0 || lengths.some((length) => length !== '0')
  return status === 205
    ? codings + lengths.length === 0
    : codings + lengths.length > 1 || lengths.some((length) => !lengthPattern.test(length))
}

function mayHaveMore({ headers }: AnswerHead, method: string, isBodyless: boolean): boolean {
  const announcesBody = headers.has(CONTENT_LENGTH) || headers.has(TRANSFER_ENCODING)
  return isBodyless && (method === 'HEAD' || announcesBody) && headers.value(CONTENT_LENGTH) !== '0'
}

function keptMs(keepAlive: string | null | undefined): number {
  const seconds = typeof keepAlive === 'string' ? timeoutPattern.exec(keepAlive)?.[1] : undefined
  return seconds === undefined ? Number.POSITIVE_INFINITY : Number(seconds) * 1000 - HINT_MARGIN_MS
}

export interface AnswerTo {
  version: '1.0' | '1.1'
  isLast: boolean
  hasVia: boolean
}

/** Whether the client gets the body in chunks. */
export function isChunkedFor({ framing }: JudgedAnswer, version: '1.0' | '1.1'): boolean {
  return version === '1.1' && (framing.kind === 'chunked' || framing.kind === 'end')
}

/** The client can tell the end of the body without FIN, so that an early FIN shows a cut. */
export function isDelimitedFor({ framing }: JudgedAnswer, version: '1.0' | '1.1'): boolean {
  return version === '1.1' || framing.kind === 'length' || framing.kind === 'none'
}

/** The head for the client. */
export function answerHeadText(answer: JudgedAnswer, { version, isLast, hasVia }: AnswerTo): string {
  let text = `HTTP/1.1 ${answer.status} ${answer.reason}\r\n`
  text += Field.lines(hasVia ? withVia(answer.headers) : answer.headers)
  if (answer.length !== null) text += `Content-Length: ${answer.length}\r\n`
  else if (isChunkedFor(answer, version)) text += 'Transfer-Encoding: chunked\r\n'
  const connection = isLast ? 'close' : 'keep-alive'
  return `${text}Connection: ${answer.status === 426 ? `${connection}, Upgrade` : connection}\r\n\r\n`
}

function withVia(fields: readonly Field[]): Field[] {
  const before = fields.filter(({ name }) => name === VIA).map(({ value }) => `${value}, `)
  return [...without(fields, VIA), Field.of('Via', `${before.join('')}1.1 sidegate`)]
}
