// Generated HTTP exchanges, which a test sends through a gate and through another proxy: the service must get the same request, and the client
// the same answer, except for the differences that a test names.

import fc from 'fast-check'
import type { Test } from 'tap'
import { chunked, HttpClient, recordingUpstream } from './http-peers.ts'
import type { RecordingUpstream, Seen } from './http-peers.ts'
import type { Answer } from './http.ts'
import { connect } from './peers.ts'

type Headers = [name: string, value: string][]

/** Lower case, sorted, repeated ones joined: Node reorders them, and joins some. */
function normal(headers: readonly (readonly [string, string])[], less: RegExp): Headers {
  const values = new Map<string, string[]>()
  for (const [name, value] of headers) {
    const key = name.toLowerCase()
    if (!less.test(key)) values.set(key, [...(values.get(key) ?? []), value])
  }
  return [...values]
    .map(([name, all]): [string, string] => [name, all.join(', ').trim()])
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

const methods = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'HEAD', 'PROPFIND')
const value = fc.stringMatching(/^[!-~]{0,12}$/)
const name = fc.constantFrom(
  'Accept',
  'accept-language',
  'X-A',
  'x-b',
  'Cookie',
  'If-None-Match',
  'Range',
  'User-Agent',
  'X_C',
  'Cache-Control',
  'Authorization',
  'Origin',
)
const headers = fc.array(fc.tuple(name, value), { maxLength: 6 })
const body = fc.string({ maxLength: 60 }).map((text) => Buffer.from(text, 'utf8').toString('latin1'))
/** http-proxy-3 resolves dots, joins slashes and drops an empty query; another test proves that paths arrive byte for byte. */
const path = fc.stringMatching(/^[a-z0-9~=&-]{0,8}(\/[a-z0-9]{1,4}){0,2}(\?[a-z0-9=&]{1,6})?$/)
const request = fc.record({
  method: methods,
  path,
  headers,
  body: fc.option(body),
  isChunked: fc.boolean(),
  cuts: fc.array(fc.nat(300), { maxLength: 3 }),
})
const status = fc.constantFrom(200, 201, 204, 206, 301, 304, 400, 404, 418, 500, 503)
const answerName = fc.constantFrom('Set-Cookie', 'ETag', 'X-D', 'Server', 'Vary', 'Content-Type', 'Location')
const answer = fc.record({
  status,
  headers: fc.array(fc.tuple(answerName, value), { maxLength: 5 }),
  body,
  framing: fc.constantFrom('length', 'chunked', 'end', 'HTTP/1.0'),
  cuts: fc.array(fc.nat(300), { maxLength: 3 }),
})
type Request = typeof request extends fc.Arbitrary<infer R> ? R : never
type Given = typeof answer extends fc.Arbitrary<infer A> ? A : never

/** Without repetitions of a header that may occur only once. */
function onceOf(all: [string, string][], single: RegExp): [string, string][] {
  const seen = new Set<string>()
  return all.filter(
    ([key]) => !single.test(key) || (!seen.has(key.toLowerCase()) && seen.add(key.toLowerCase())),
  )
}

/** Node drops a second one of these; the gate passes it on as it is. */
const singular = /^(authorization|user-agent|content-type|etag|location|server|if-.*|range|cookie|origin)$/i

function requestText({ method, path, headers: all, body: given, isChunked }: Request): string {
  const lines = onceOf(all, singular)
    .map(([key, one]) => `${key}: ${one}\r\n`)
    .join('')
  const head = (more: string): string => `${method} /${path} HTTP/1.1\r\nHost: a\r\n${lines}${more}\r\n`
  if (given === null || method === 'HEAD') return head('')
  // http-proxy-3 gives a chunked DELETE or OPTIONS a length of 0, and lets its body follow.
  if (!isChunked || method === 'DELETE' || method === 'OPTIONS')
    return head(`Content-Length: ${given.length}\r\n`) + given
  return (
    head('Transfer-Encoding: chunked\r\n') +
    chunked(...[given.slice(0, 7), given.slice(7)].filter((piece) => piece !== ''))
  )
}

function answerText({ status: code, headers: all, body: given, framing }: Given, method: string): string {
  const lines = onceOf(all, singular)
    .map(([key, one]) => `${key}: ${one}\r\n`)
    .join('')
  const isBodyless = method === 'HEAD' || code === 204 || code === 304
  const head = (more: string, version = '1.1'): string =>
    `HTTP/${version} ${code} Said\r\n${lines}${more}\r\n`
  if (isBodyless) return head('')
  if (framing === 'chunked')
    return head('Transfer-Encoding: chunked\r\n') + chunked(...(given === '' ? [] : [given]))
  if (framing === 'end') return head('') + given
  return head(`Content-Length: ${given.length}\r\n`, framing === 'length' ? '1.1' : '1.0') + given
}

function split(text: string, cuts: readonly number[]): string[] {
  const edges = [0, ...cuts.map((cut) => Math.min(cut, text.length)).sort((a, b) => a - b), text.length]
  return edges
    .slice(1)
    .map((edge, i) => text.slice(edges[i], edge))
    .filter((piece) => piece !== '')
}

interface Outcome {
  request: { method: string; target: string; body: string; headers: Headers }
  answer: { status: number; line: string; body: string; headers: Headers }
}

/** Names of headers that may differ: of requests, and of answers. */
export interface Differences {
  request: RegExp
  answer: RegExp
  /** True for exchanges that the test leaves out. */
  isLeftOut?: (request: Request, answer: Given) => boolean
}

export interface Exchanges {
  upstream: RecordingUpstream
  differences: Differences
  /** Sends that exchange through the proxy at `port`, and resolves with both sides of it. */
  through(port: number, request: Request, answer: Given): Promise<Outcome>
}

/** A service that answers as the test says, for one exchange at a time. */
export async function exchanges(t: Test, differences: Differences): Promise<Exchanges> {
  let said: Given | null = null
  let seen: Seen | null = null
  const upstream = await recordingUpstream(t, async (one) => {
    seen = one
    for (const piece of split(answerText(said!, one.method), said!.cuts))
      await one.wire.write(Buffer.from(piece, 'latin1'))
    if (said!.framing === 'end' && ![204, 304].includes(said!.status) && one.method !== 'HEAD') one.wire.end()
  })
  return {
    upstream,
    differences,
    async through(port, given, answer) {
      said = answer
      const client = new HttpClient(await connect(t, port))
      for (const piece of split(requestText(given), given.cuts)) await client.send(piece)
      const got: Answer = await client.answer({ method: given.method })
      client.wire.destroy()
      const { method, target, body: sent, headers: sentHeaders } = seen!
      return {
        request: {
          method,
          target,
          body: sent.toString('latin1'),
          headers: normal(sentHeaders, differences.request),
        },
        answer: {
          status: got.status,
          line: got.line,
          body: got.body.toString('latin1'),
          headers: normal(got.headers, differences.answer),
        },
      }
    },
  }
}

const seed = process.env['SEED'] === undefined ? {} : { seed: Number(process.env['SEED']) }

/** Compares so many generated exchanges through both proxies. */
export function compare(
  { through, differences }: Exchanges,
  ports: { ours: number; theirs: number },
  numRuns: number,
): Promise<void> {
  const property = fc.asyncProperty(request, answer, async (given, said) => {
    fc.pre(differences.isLeftOut?.(given, said) !== true)
    const ours = JSON.stringify(await through(ports.ours, given, said))
    const theirs = JSON.stringify(await through(ports.theirs, given, said))
    if (ours !== theirs) throw new Error(`${ours}\n${theirs}`)
  })
  return fc.assert(property, { numRuns, ...seed })
}
