// Readers one by one, without sockets: each must read the same however a stream is cut, and may find no more
// requests and answers than a strict reader finds in the stream. A strict reader also reads their own output.

import { ProxyHeaderReader } from '../../src/admission/proxy-header.ts'
import type { Close } from '../../src/core/close.ts'
import { Answers } from '../../src/http1/answers.ts'
import { Exchange } from '../../src/http1/exchange.ts'
import { forwardTrailers } from '../../src/http1/forwarding.ts'
import type { RequestHead } from '../../src/http1/head.ts'
import { Intake } from '../../src/http1/intake.ts'
import type { HttpOptions } from '../../src/http1/options.ts'
import { judgeRequest } from '../../src/http1/request-head.ts'
import { calm } from '../../src/core/strain.ts'
import type { Half } from '../../src/pair/half.ts'
import { FrameScanner } from '../../src/websocket/frame-scanner.ts'
import type { ScanRules } from '../../src/websocket/frame-scanner.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { fieldsOf } from '../support/fields.ts'
import { pieces } from './random.ts'
import type { Chance } from './random.ts'
import { strictAnswers, strictRequests } from './strict.ts'
import { answers, frames, mutated, proxyHeader, requests } from './streams.ts'

/** What a stream was understood as, for comparison. */
type Reader = (parts: string[]) => { said: string; seen: string }

const client = {
  address: '192.0.2.1',
  proto: 'http',
  isTrusted: false,
  form: 'x-forwarded',
  hasVia: true,
  service: 'a',
} as const
const options = (lenient: HttpOptions['lenient']): HttpOptions =>
  ({ maxHeaderBytes: 16_384, maxBodyBytes: 1_000_000, lenient, hasVia: true }) as HttpOptions

const nobodyElse = { clock: fakeClock(), strain: calm() }

/** Collects what a half would send. */
class Collected {
  text = ''
  activity = 0
  readonly sink = { cork() {}, uncork() {} }
  spend(): void {}
  readonly flow = { sent: 0 }

  hold(): void {}
  letGo(): void {}

  forward(bytes: Buffer, start: number, end: number): void {
    this.text += bytes.toString('latin1', start, end)
  }

  forwardHead(text: string): void {
    this.text += text
  }
}

/** One buffer for all reads, as in the gate: what it held is gone with the next. */
const shared = Buffer.alloc(262_144)

function feed(part: string): number {
  shared.fill('\r\n')
  return shared.write(part, 0, 'latin1')
}

/** Reads requests as a conversation has them read: `seen` is what an upstream would get that answers each at once. */
const readRequests =
  (lenient: HttpOptions['lenient']): Reader =>
  (parts) => {
    const half = new Collected()
    const owner = {
      exchange: null as Exchange | null,
      isOver: false,
      status: 0 as number | undefined,
      onHeadBegun() {},
      onRequest(request: RequestHead) {
        const judged = judgeRequest(request, options(lenient), client)
        if ('reason' in judged) return owner.close(judged)
        owner.exchange = new Exchange(request, 0)
        owner.exchange.judge(judged)
        owner.exchange.ask(half as unknown as Half, 0, false)
      },
      close(close: Close) {
        owner.status = close.httpStatus
        owner.isOver = true
      },
    }
    const intake = new Intake(half as unknown as Half, options(lenient), owner, nobodyElse)
    for (const part of parts) {
      if (owner.isOver) break
      intake.onBytes(shared, feed(part))
      while (!owner.isOver && owner.exchange?.isRequestComplete === true) {
        owner.exchange = null
        intake.goOn()
      }
    }
    return { said: JSON.stringify([owner.isOver, strictRequests(half.text).messages]), seen: half.text }
  }

const readAnswer =
  (method: string, lenient: HttpOptions['lenient']): Reader =>
  (parts) => {
    const half = new Collected()
    const request: RequestHead = { method, target: '/', version: '1.1', headers: fieldsOf([['Host', 'a']]) }
    const exchange = new Exchange(request, 0)
    const judged = judgeRequest(request, options(lenient), client)
    if ('reason' in judged) throw new Error(judged.reason)
    exchange.judge(judged)
    const reader = new Answers(half as unknown as Half, options(lenient), { isLast: () => false })
    let close: Close | null = null
    for (const part of parts) {
      close = reader.read(exchange, shared, feed(part))
      if (close !== null || (exchange.answer !== null && exchange.answerBody.isComplete)) break
    }
    const isWhole =
      close === null &&
      exchange.answer !== null &&
      (exchange.answerBody.isComplete || exchange.answer.framing.kind === 'end')
    if (isWhole) exchange.end(forwardTrailers(exchange.answerBody.trailers))
    // Where its data is cut into chunks depends on the reads.
    const said = exchange.isAnswerBegun ? { ...strictAnswers(half.text, [method]), at: 0 } : null
    // How much of a broken answer goes on depends on the reads that it comes in; whether it is broken does not.
    return { said: JSON.stringify([close !== null, isWhole && said]), seen: half.text }
  }

const readFrames =
  (rules: ScanRules): Reader =>
  (parts) => {
    let seen = ''
    const scanner = new FrameScanner(rules, { onControl: () => 'pass', onBoundary() {} })
    for (const part of parts) {
      const violation = scanner.scan(shared, feed(part), {
        forward: (bytes, start, end) => void (seen += bytes.toString('latin1', start, end)),
      })
      if (violation !== null) return { said: JSON.stringify([violation, seen, scanner.messages]), seen }
    }
    return { said: JSON.stringify([null, seen, scanner.messages, scanner.isAtBoundary]), seen }
  }

const readProxyHeader: Reader = (parts) => {
  const reader = new ProxyHeaderReader('any')
  for (const [nth, part] of parts.entries()) {
    const read = reader.read(shared, feed(part))
    if (read === 'more') continue
    if ('problem' in read) return { said: 'refused', seen: '' }
    const rest = part.slice(read.taken) + parts.slice(nth + 1).join('')
    return { said: JSON.stringify([read.header.client?.text, read.header.local, rest]), seen: '' }
  }
  return { said: 'more', seen: '' }
}

/** Reads it whole and in pieces; what both say. */
function both(chance: Chance, stream: string, read: Reader): { said: string; seen: string } {
  const whole = read([stream])
  const parts = pieces(chance, stream)
  const again = read(parts)
  if (again.said !== whole.said)
    throw new Error(`cut ${JSON.stringify(parts)} it is\n${again.said}\nand whole\n${whole.said}`)
  return whole
}

function isBegin<T>(begin: T[], whole: T[]): boolean {
  return JSON.stringify(begin) === JSON.stringify(whole.slice(0, begin.length))
}

function fuzzRequests(chance: Chance): void {
  const right = requests(chance)
  const stream = chance.oneIn(5) ? right : mutated(chance, right)
  const expected = strictRequests(stream)
  const { said, seen } = both(chance, stream, readRequests(chance.pick(['off', 'upstream'])))
  const got = strictRequests(seen)
  if (!isBegin(got.messages, expected.messages))
    throw new Error(
      `of ${JSON.stringify(stream)} the service sees ${JSON.stringify(got.messages)}, not ${JSON.stringify(expected.messages)}`,
    )
  if (got.end === 'bad' || (stream === right && got.messages.length < expected.messages.length))
    throw new Error(`of ${JSON.stringify(stream)} the service gets ${JSON.stringify(seen)}: ${said}`)
  // Whatever else it may let through: each way of cutting it means the same, and what goes on is strict.
  const loose = strictRequests(both(chance, stream, readRequests('both')).seen)
  if (loose.end === 'bad')
    throw new Error(`with lenient: both, of ${JSON.stringify(stream)} the service gets what nobody can read`)
}

function fuzzAnswer(chance: Chance): void {
  const [method, right] = [chance.pick(['GET', 'GET', 'POST', 'HEAD']), answers(chance)]
  const stream = chance.oneIn(5) ? right : mutated(chance, right)
  const expected = strictAnswers(stream, [method], true)
  for (const lenient of ['off', 'upstream'] as const) {
    const { said, seen } = both(chance, stream, readAnswer(method, lenient))
    const got = strictAnswers(seen, [method])
    const about = `of ${JSON.stringify(stream)} to ${method} (lenient: ${lenient}) the client gets ${JSON.stringify(seen)}: ${said}`
    if (got.end === 'bad' || (got.at < seen.length && got.end === 'done')) throw new Error(about)
    if (lenient === 'off' && !isBegin(got.messages, expected.messages)) throw new Error(about)
    if (stream === right && got.messages.length !== expected.messages.length) throw new Error(about)
  }
}

function fuzzFrames(chance: Chance): void {
  const rules: ScanRules = {
    isMasked: chance.oneIn(2),
    isCompressed: chance.oneIn(3),
    maxMessageBytes: chance.pick([100, 1000, 1_000_000]),
    maxFragments: chance.pick([2, 1000]),
  }
  const right = frames(chance, rules.isMasked)
  both(chance, chance.oneIn(5) ? right : mutated(chance, right), readFrames(rules))
}

function fuzzProxyHeader(chance: Chance): void {
  const right = proxyHeader(chance)
  const stream = chance.oneIn(5) ? right : mutated(chance, right)
  const { said } = both(chance, stream, readProxyHeader)
  if (stream === right && (said === 'refused' || said === 'more'))
    throw new Error(`${JSON.stringify(stream)} is ${said}`)
}

/** By name; each throws where something is wrong. */
export const parts: ReadonlyArray<readonly [name: string, run: (chance: Chance) => void]> = [
  ['requests', fuzzRequests],
  ['answers', fuzzAnswer],
  ['frames', fuzzFrames],
  ['PROXY headers', fuzzProxyHeader],
]
