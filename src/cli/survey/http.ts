// Questions to a service that may speak HTTP: whether it answers, how its answer is written, whether it keeps
// a connection, and how it answers malformed requests. Every request is a GET of the given path.

import { systemClock } from '../../core/clock.ts'
import type { Address } from '../../config/address.ts'
import { headOf, strictness } from './strictness.ts'
import { dial } from './wire.ts'
import type { Wire } from './wire.ts'
import type { Finding, SurveyOptions } from './findings.ts'

const ANSWER_MS = 10_000

const isHttp = (text: string): boolean => text.startsWith('HTTP/1.')
const statusOf = (text: string): string => /^HTTP\/1\.\d (\d{3})/.exec(text)?.[1] ?? 'no status'

function get({ path, host }: SurveyOptions, headers = ''): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: sidegate-survey\r\n${headers}\r\n`
}

/**
 * Sends `request` on its own connection; resolves with the received bytes at the end of a head, or at FIN.
 */
async function exchange(
  address: Address,
  request: string,
): Promise<{ wire: Wire; text: string; ms: number } | string> {
  const wire = await dial(address)
  if (typeof wire === 'string') return wire
  const startedAt = systemClock.now()
  wire.socket.write(request)
  await wire.until(() => headOf(wire.text) !== null || wire.end !== null, ANSWER_MS)
  return { wire, text: wire.text, ms: systemClock.now() - startedAt }
}

export interface HttpSurvey {
  /** The service answers HTTP. */
  isHttp: boolean
  findings: Finding[]
}

export async function surveyHttp(address: Address, options: SurveyOptions): Promise<HttpSurvey> {
  const first = await exchange(address, get(options))
  if (typeof first === 'string')
    return { isHttp: false, findings: [{ question: 'speaks HTTP', answer: first }] }
  first.wire.close()
  if (!isHttp(first.text)) {
    const said = first.text === '' ? 'said nothing' : `said ${JSON.stringify(first.text.slice(0, 60))}`
    return { isHttp: false, findings: [{ question: 'speaks HTTP', answer: `no: to a GET it ${said}` }] }
  }
  const head = headOf(first.text) ?? ''
  return {
    isHttp: true,
    findings: [
      {
        question: 'speaks HTTP',
        answer: `yes: ${statusOf(first.text)} to GET ${options.path} after ${first.ms} ms, with a head of ${head.length} bytes`,
      },
      strictness('writes its heads strictly', head),
      ...(await oddities(address, options)),
      await halfClose(address, options),
    ],
  }
}

async function oddities(address: Address, options: SurveyOptions): Promise<Finding[]> {
  const { path, host } = options
  const odd: [string, string][] = [
    ['a request without Host', `GET ${path} HTTP/1.1\r\n\r\n`],
    ['lines that end with LF alone', `GET ${path} HTTP/1.1\nHost: ${host}\n\n`],
    ['a folded header', get(options, 'X-Survey: a\r\n b\r\n')],
    ['two equal Content-Length', get(options, 'Content-Length: 0\r\nContent-Length: 0\r\n')],
  ]
  const findings: Finding[] = []
  for (const [what, request] of odd) {
    const answer = await exchange(address, request)
    findings.push({
      question: `takes ${what}`,
      answer: typeof answer === 'string' ? answer : reaction(answer.text, answer.wire),
    })
    if (typeof answer !== 'string') answer.wire.close()
  }
  return findings
}

function reaction(text: string, wire: Wire): string {
  if (isHttp(text)) return /^HTTP\/1\.\d [23]/.test(text) ? `yes: ${statusOf(text)}` : `no: ${statusOf(text)}`
  return wire.end === null ? 'no: no answer' : `no: it ended the connection with ${wire.end.how}`
}

/** A client that ends its half after its request, as `nc` does, may still want its answer. */
async function halfClose(address: Address, options: SurveyOptions): Promise<Finding> {
  const question = 'answers a client that has ended its half'
  const wire = await dial(address)
  if (typeof wire === 'string') return { question, answer: wire }
  wire.socket.end(get(options))
  const isAnswered = await wire.until(() => headOf(wire.text) !== null || wire.end !== null, ANSWER_MS)
  const finding =
    isAnswered && isHttp(wire.text)
      ? { question, answer: `yes: ${statusOf(wire.text)}` }
      : {
          question,
          answer: 'no: it drops the request, as nginx does',
          key: 'http.abortOnHalfClose',
          value: 'on',
        }
  wire.close()
  return finding
}

/** How long the service keeps a connection for the next request. */
export async function surveyKeepAlive(address: Address, options: SurveyOptions): Promise<Finding> {
  const question = 'keeps an idle HTTP connection'
  const first = await exchange(address, get(options))
  if (typeof first === 'string') return { question, answer: first }
  const { wire } = first
  const since = systemClock.now()
  const hasEnded = await wire.until(() => wire.end !== null, options.forMs)
  wire.close()
  if (!hasEnded) return { question, answer: `for more than ${options.forMs / 1000} s` }
  const ms = wire.end!.at - since
  // Shorter than the service's time, or a request meets a connection that has just ended.
  const keepMs = Math.floor((ms * 0.8) / 1000) * 1000
  if (ms < 1000) return { question, answer: 'no: it ends each one', key: 'upstream.keepAlive', value: 'off' }
  return {
    question,
    answer: `for ${(ms / 1000).toFixed(1)} s`,
    key: 'upstream.keepAlive',
    value: keepMs < 1000 ? 'off' : `${keepMs / 1000}s`,
  }
}
