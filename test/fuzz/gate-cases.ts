// Streams through whole gates over real sockets. The service is the recording one: its record is what a gate
// let through.

import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { recordingUpstream } from '../support/http-peers.ts'
import type { Seen } from '../support/http-peers.ts'
import { connect } from '../support/peers.ts'
import { HANGS, Scope, send, turns } from './case.ts'
import type { Case } from './case.ts'
import { pieces } from './random.ts'
import { strictAnswers, strictRequests } from './strict.ts'
import type { Message, Stream } from './strict.ts'
import { answers, mutated, requests } from './streams.ts'

const wordOf = ({ method, target, body }: Seen): string => `${method} ${target} ${body.length}`

function echo(seen: Seen): string {
  const word = wordOf(seen)
  return `HTTP/1.1 200 OK\r\nContent-Length: ${word.length}\r\n\r\n${seen.method === 'HEAD' ? '' : word}`
}

/** All that the gate says until it ends, or until its client has left. */
async function talk(gate: Gate, parts: string[]): Promise<string> {
  const scope = new Scope()
  try {
    const wire = await connect(scope.test, gate.port, { halfOpen: true })
    await send(wire, parts)
    wire.socket.end()
    await within(wire.ended, { what: 'the end of a connection', ...HANGS })
    await eventually(() => gate.registry.size === 0, { what: 'an empty registry', ...HANGS })
    return wire.takeUnread().toString('latin1')
  } finally {
    await scope.end()
  }
}

const same = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

/** The service sees a beginning of what a strict reader finds, and each answer answers its own request. */
async function requestCase(scope: Scope, keepAlive: string): Promise<Case> {
  const upstream = await recordingUpstream(scope.test, echo)
  const gate = await startGate(scope.test, [
    `protocol: http, upstream: { addresses: ["127.0.0.1:${upstream.port}"], keepAlive: ${keepAlive} }`,
  ])
  return [
    `requests through a gate, upstream.keepAlive: ${keepAlive}`,
    async (chance) => {
      const right = requests(chance)
      const stream = chance.oneIn(5) ? right : mutated(chance, right)
      const expected = strictRequests(stream).messages
      const from = upstream.requests.length
      const said = await talk(gate, pieces(chance, stream))
      await turns(3)
      const seen = upstream.requests
        .slice(from)
        .map((one): Message => ({ line: `${one.method} ${one.target}`, body: one.body.toString('latin1') }))
      const about = `of ${JSON.stringify(stream)} the service saw ${JSON.stringify(seen)} and the client ${JSON.stringify(said)}`
      const methods = expected.map(({ line }) => line.split(' ')[0]!)
      // Of a request that is refused the gate may know that it is a HEAD.
      const [got] = ['GET', 'HEAD']
        .map((method) => strictAnswers(said, [...methods, method]))
        .toSorted((a, b) => Number(b.end === 'done') - Number(a.end === 'done')) as [Stream, Stream]
      if (!same(seen, expected.slice(0, seen.length)) || (stream === right && seen.length < expected.length))
        throw new Error(about)
      if (got.end !== 'done' || got.at < said.length || got.messages.length > seen.length + 1)
        throw new Error(about)
      for (const [nth, { line, body }] of got.messages.entries()) {
        const word = seen[nth] === undefined ? null : `${seen[nth].line} ${seen[nth].body.length}`
        if (line === '200' && body !== (word!.startsWith('HEAD ') ? '' : word)) throw new Error(about)
      }
      const strange = upstream.problems.splice(0).filter((problem) => !problem.startsWith('cut'))
      if (strange.length > 0) throw new Error(`${about}: ${strange.join()}`)
    },
  ]
}

/** Whatever a service answers to a request, the next one, of whoever, gets an answer of its own or none. */
async function answerCase(scope: Scope, lenient: string): Promise<Case> {
  let next: { parts: string[]; isEnd: boolean } = { parts: [], isEnd: false }
  const upstream = await recordingUpstream(scope.test, async (seen) => {
    if (!seen.target.startsWith('/odd')) return echo(seen)
    await send(seen.wire, next.parts)
    if (next.isEnd) seen.wire.end()
    return undefined
  })
  const gate = await startGate(scope.test, [
    `protocol: http, http: { lenient: ${lenient} }, upstream: "127.0.0.1:${upstream.port}"`,
  ])
  return [
    `answers through a gate, http.lenient: ${lenient}`,
    async (chance) => {
      const [method, right] = [chance.pick(['GET', 'GET', 'HEAD']), answers(chance)]
      const stream = chance.oneIn(5) ? right : mutated(chance, right)
      const expected = strictAnswers(stream, [method], true)
      next = {
        parts: pieces(chance, stream),
        isEnd:
          chance.oneIn(2) ||
          !same(strictAnswers(`${stream} `, [method], true).messages, expected.messages) ||
          expected.messages.length === 0,
      }
      const from = upstream.requests.length
      const scope = new Scope()
      try {
        const wire = await connect(scope.test, gate.port, { halfOpen: true })
        await wire.write(`${method} /odd HTTP/1.1\r\nHost: a\r\n\r\n`)
        await eventually(() => wire.unread > 0 || wire.hasEnded || wire.outcome !== null, {
          what: 'an answer',
          ...HANGS,
        })
        await turns(6 + 4 * next.parts.length)
        await wire.write('GET /next HTTP/1.1\r\nHost: a\r\n\r\n')
        await turns(6)
        wire.socket.end()
        await within(wire.ended, { what: 'the end of a connection', ...HANGS })
        judge(
          stream,
          wire.takeUnread().toString('latin1'),
          method,
          lenient === 'off' ? expected.messages[0] : undefined,
        )
      } finally {
        await scope.end()
      }
      await eventually(() => gate.registry.size === 0, { what: 'an empty registry', ...HANGS })
      const other = strictAnswers(await talk(gate, ['GET /other HTTP/1.1\r\nHost: a\r\n\r\n']), ['GET'])
      if (!same(other.messages, [{ line: '200', body: 'GET /other 0' }]))
        throw new Error(
          `behind ${JSON.stringify(stream)} another client gets ${JSON.stringify(other.messages)}`,
        )
      const [odd, ...later] = upstream.requests.splice(from)
      const hasRest = expected.messages.length > 0 && expected.at < stream.length
      if (hasRest && later.some(({ connection }) => connection === odd!.connection))
        throw new Error(`${JSON.stringify(stream)} leaves bytes behind, and its connection was used again`)
    },
  ]
}

/** `right` is what a strict reader takes the answer for; undefined where it is looser. */
function judge(stream: string, said: string, method: string, right: Message | undefined): void {
  const got = strictAnswers(said, [method, 'GET'])
  const about = `of ${JSON.stringify(stream)} to ${method} the client gets ${JSON.stringify(said)}`
  const [first, second] = got.messages
  if (got.end === 'bad') throw new Error(about)
  if (right !== undefined && first !== undefined && first.line !== '502' && !same(first, right))
    throw new Error(`${about}, not ${JSON.stringify(right)}`)
  if (second !== undefined && !same(second, { line: '200', body: 'GET /next 0' })) throw new Error(about)
  if (got.end === 'done' && got.at < said.length) throw new Error(about)
}

export async function gateCases(): Promise<{ cases: Case[]; stop: () => Promise<void> }> {
  const scope = new Scope()
  const cases = [
    await requestCase(scope, 'off'),
    await requestCase(scope, '4s'),
    await answerCase(scope, 'off'),
    await answerCase(scope, 'upstream'),
  ]
  return { cases, stop: () => scope.end() }
}
