// HTTP peers: an upstream that reads strictly, records every request byte for byte and reports unreadable bytes as a
// problem, and a client by hand that reads one answer after the other. The upstream is the oracle: its record is
// what a gate let through.

import type { Test } from 'tap'
import { eventually, within } from './eventually.ts'
import type { Wait } from './eventually.ts'
import { parseHead } from './http.ts'
import type { Answer, AnswerTo, Head } from './http.ts'
import { connect, listen } from './peers.ts'
import type { ConnectOptions, Upstream } from './peers.ts'
import type { Wire } from './wire.ts'

export interface Seen extends Head {
  method: string
  target: string
  body: Buffer
  trailers: Array<[string, string]>
  wire: Wire
  /** The number of its connection, from 0, and its place on that, from 0. */
  connection: number
  nth: number
}

export interface RecordingUpstream extends Upstream {
  requests: Seen[]
  /** Bytes that are no request. */
  problems: string[]
  /** Resolves with the nth request, from 0. */
  request(nth?: number): Promise<Seen>
}

export type Respond = (seen: Seen) => unknown
export const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
const fine: Respond = ({ method }) => (method === 'HEAD' ? OK.slice(0, -2) : OK)
const LONG = { withinMs: 120_000 }

/** Answers each request with the text that `respond` returns, or lets `respond` answer. Calls it once the body is complete. */
export async function recordingUpstream(
  t: Test,
  respond: Respond = fine,
  port = 0,
): Promise<RecordingUpstream> {
  const requests: Seen[] = []
  const problems: string[] = []
  let connections = 0
  const upstream = await listen(
    t,
    async (wire) => {
      const connection = connections++
      for (let nth = 0; ; nth++) {
        const seen = await readRequest(wire, connection, nth).catch((error: Error) => error.message)
        if (typeof seen === 'string') {
          if (seen !== 'gone') problems.push(seen)
          if (wire.outcome === null) wire.end()
          return
        }
        requests.push(seen)
        const answer = (await respond(seen)) as Uint8Array | string | undefined
        if (answer !== undefined) await wire.write(answer)
      }
    },
    {},
    { host: '127.0.0.1', port },
  )
  return {
    ...upstream,
    requests,
    problems,
    request: (nth = 0) => eventually(() => requests[nth], { what: `request ${nth} at the upstream` }),
  }
}

async function readRequest(wire: Wire, connection: number, nth: number): Promise<Seen | string> {
  const bytes = await wire.readUntil('\r\n\r\n', LONG).catch(() => null)
  if (bytes === null)
    return wire.unread === 0
      ? 'gone'
      : `cut: ${JSON.stringify(wire.takeUnread().toString('latin1').slice(0, 200))}`
  const head = parseHead(bytes)!
  const line = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\S+) HTTP\/1\.1$/.exec(head.line)
  if (line === null) return `no request line: ${JSON.stringify(head.line.slice(0, 200))}`
  if (head.headers.some(([name]) => !/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name)))
    return `no header name in ${JSON.stringify(bytes.toString('latin1'))}`
  const { body, trailers } = await readBody(wire, head)
  return { ...head, method: line[1]!, target: line[2]!, body, trailers, wire, connection, nth }
}

async function readBody(
  wire: Wire,
  head: Head,
): Promise<{ body: Buffer; trailers: Array<[string, string]> }> {
  const [length, coding] = [head.header('content-length'), head.header('transfer-encoding')]
  if (length !== null && coding !== null) throw new Error('two framings')
  if (coding !== null && coding !== 'chunked') throw new Error(`coding ${coding}`)
  if (coding === 'chunked') return readChunks(wire)
  if (length === null) return { body: Buffer.alloc(0), trailers: [] }
  if (!/^(0|[1-9][0-9]*)$/.test(length)) throw new Error(`length ${length}`)
  return {
    body: await wire.read(Number(length), LONG).catch(() => Promise.reject(new Error('gone'))),
    trailers: [],
  }
}

async function readChunks(wire: Wire): Promise<{ body: Buffer; trailers: Array<[string, string]> }> {
  const pieces: Buffer[] = []
  const gone = (): Promise<never> => Promise.reject(new Error('gone'))
  for (;;) {
    const line = (await wire.readUntil('\r\n', LONG).catch(gone)).toString('latin1')
    if (!/^[0-9a-fA-F]+\r\n$/.test(line)) throw new Error(`chunk size ${JSON.stringify(line)}`)
    const size = Number.parseInt(line, 16)
    if (size === 0) break
    pieces.push(Buffer.from(await wire.read(size, LONG).catch(gone)))
    if ((await wire.read(2, LONG).catch(gone)).toString('latin1') !== '\r\n') throw new Error('chunk end')
  }
  const trailers: Array<[string, string]> = []
  for (;;) {
    const line = (await wire.readUntil('\r\n', LONG).catch(gone)).toString('latin1').slice(0, -2)
    if (line === '') return { body: Buffer.concat(pieces), trailers }
    const colon = line.indexOf(':')
    trailers.push([line.slice(0, colon), line.slice(colon + 1).trim()])
  }
}

/** A client that keeps its connection. */
export class HttpClient {
  readonly wire: Wire

  constructor(wire: Wire) {
    this.wire = wire
  }

  send(bytes: Uint8Array | string): Promise<boolean> {
    return this.wire.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** The next answer, whole; throws when the connection ends inside it. */
  async answer({ method = 'GET' }: AnswerTo = {}, wait: Wait = {}): Promise<Answer> {
    const interim: number[] = []
    for (;;) {
      const head = parseHead(
        await this.wire.readUntil('\r\n\r\n', { what: 'the head of an answer', ...wait }),
      )!
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head.line)?.[1])
      if (!status) throw new Error(`not a status line: ${JSON.stringify(head.line)}`)
      if (status >= 200 || status === 101)
        return {
          ...head,
          status,
          interim,
          isWhole: true,
          rest: Buffer.alloc(0),
          body: await this.#body(head, status, method, wait),
        }
      interim.push(status)
    }
  }

  async get(bytes: Uint8Array | string, to: AnswerTo = {}, wait: Wait = {}): Promise<Answer> {
    void this.send(bytes)
    return this.answer(to, wait)
  }

  async #body(head: Head, status: number, method: string, wait: Wait): Promise<Buffer> {
    if (method === 'HEAD' || status === 101 || status === 204 || status === 304) return Buffer.alloc(0)
    if (head.header('transfer-encoding') === 'chunked') return (await readChunks(this.wire)).body
    const length = head.header('content-length')
    if (length !== null) return this.wire.read(Number(length), { what: 'a body', ...wait })
    await within(this.wire.ended, { what: 'the end of a body', ...wait })
    return this.wire.takeUnread()
  }
}

export async function httpClient(t: Test, port: number, options: ConnectOptions = {}): Promise<HttpClient> {
  return new HttpClient(await connect(t, port, options))
}

/** A request head; `headers` may end with their own CRLF or be empty. */
export function get(target = '/', headers = '', method = 'GET'): string {
  return `${method} ${target} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`
}

export function chunked(...pieces: string[]): string {
  return `${pieces.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n\r\n`
}

/** Fails the test at an uncaught error: one request must never end the process. */
export function watchCrashes(t: Test): void {
  const seen: string[] = []
  const note = (error: unknown): void => void seen.push(String((error as Error).stack ?? error))
  process.on('uncaughtException', note).on('unhandledRejection', note)
  const warn = (warning: Error): void => void seen.push(String(warning))
  process.on('warning', warn)
  t.teardown(() => {
    process.off('uncaughtException', note).off('unhandledRejection', note).off('warning', warn)
    if (seen.length > 0) throw new Error(`uncaught: ${seen.join('\n')}`)
  })
}
