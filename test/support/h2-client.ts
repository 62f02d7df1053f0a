// A client of HTTP/2, by Node: in the clear by prior knowledge, or over TLS by ALPN.

import type { Test } from 'tap'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http2 from 'node:http2'
import type {
  ClientHttp2Session,
  ClientHttp2Stream,
  IncomingHttpHeaders,
  OutgoingHttpHeaders,
} from 'node:http2'
import { within } from './eventually.ts'

export interface H2Options {
  /** Path of the authority that is trusted; in the clear without. */
  ca?: string
  options?: http2.ClientSessionOptions | http2.SecureClientSessionOptions
}

export async function h2Connect(
  t: Test,
  port: number,
  { ca, options = {} }: H2Options = {},
): Promise<ClientHttp2Session> {
  const session =
    ca === undefined
      ? http2.connect(`http://127.0.0.1:${port}`, options)
      : http2.connect(`https://localhost:${port}`, { ca: readFileSync(ca), ...options })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await within(once(session, 'remoteSettings'), { what: 'SETTINGS of the gate' })
  return session
}

/** A connection to `url`, after so many streams at once, all of them served; null if the gate refused it. */
export async function h2Comes(
  t: Test,
  url: string,
  streams: number,
  options: object,
): Promise<ClientHttp2Session | null> {
  const session = http2.connect(url, options)
  t.teardown(() => session.destroy())
  const isIn = new Promise<boolean>((resolve) => {
    session.on('error', () => resolve(false))
    session.on('close', () => resolve(false))
    session.on('remoteSettings', () => resolve(true))
  })
  if (!(await within(isIn))) return null
  const answers = await Promise.all(Array.from({ length: streams }, () => h2Ask(session)))
  t.same([...new Set(answers.map(({ status }) => status))], [200])
  return session
}

export interface H2Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
  trailers: IncomingHttpHeaders | null
  /** The code of the RST_STREAM; 0 for an answer that came to its end. */
  code: number
}

/** Sends a request, and resolves with its answer once the stream is closed; without headers its status is 0. */
export async function h2Ask(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders = {},
  body?: string | Buffer,
): Promise<H2Answer> {
  const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined })
  const answer = h2Answer(stream)
  if (body !== undefined) stream.end(body)
  return answer
}

export async function h2Answer(stream: ClientHttp2Stream): Promise<H2Answer> {
  const answer: H2Answer = { status: 0, headers: {}, body: '', trailers: null, code: 0 }
  stream.on('response', (headers) => {
    answer.headers = headers
    answer.status = Number(headers[':status'])
  })
  stream.on('trailers', (trailers) => (answer.trailers = trailers))
  stream.on('data', (chunk: Buffer) => (answer.body += chunk.toString('latin1')))
  stream.on('error', () => {})
  await within(new Promise<void>((resolve) => void stream.on('close', resolve)), {
    what: 'the end of a stream',
  })
  answer.code = stream.rstCode ?? 0
  return answer
}

/** Received GOAWAYs, in order. */
export function goaways(session: ClientHttp2Session): Array<{ code: number; last: number; why: string }> {
  const came: Array<{ code: number; last: number; why: string }> = []
  session.on('goaway', (code, last, why) => came.push({ code, last, why: String(why ?? '') }))
  return came
}

/** The value of a series by its whole name. */
export function readMetrics(text: string): (series: string) => number {
  return (series) =>
    Number(
      text
        .split('\n')
        .find((line) => line.startsWith(`${series} `))
        ?.slice(series.length + 1),
    )
}
