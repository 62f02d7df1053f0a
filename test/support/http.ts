// HTTP by hand: bytes in, bytes out, and a reader without a library, so that a test sees a wrong answer as it is.

import type { Test } from 'tap'
import { within } from './eventually.ts'
import { connect } from './peers.ts'
import { stopwatch } from './stopwatch.ts'
import type { Closed } from './wire.ts'

export interface Head {
  /** The first line. */
  line: string
  /** In order, names as written. */
  headers: [name: string, value: string][]
  /** The value of that name in any letter case; several joined with ", "; null when absent. */
  header(name: string): string | null
  /** Its length in bytes, the empty line included. */
  length: number
}

/** The head at the start of `bytes`, or null while it is not complete. */
export function parseHead(bytes: Buffer): Head | null {
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [line = '', ...rest] = bytes.toString('latin1', 0, end).split('\r\n')
  const headers = rest.map((text): [string, string] => {
    const colon = text.indexOf(':')
    return [text.slice(0, colon), text.slice(colon + 1).trim()]
  })
  return {
    line,
    headers,
    header: (name) => {
      const values = headers
        .filter(([key]) => key.toLowerCase() === name.toLowerCase())
        .map(([, value]) => value)
      return values.length > 0 ? values.join(', ') : null
    },
    length: end + 4,
  }
}

export interface Answer extends Head {
  status: number
  body: Buffer
  /** The body is complete: by its length or its last chunk; always true for one that ends with the connection. */
  isWhole: boolean
  /** Status of the 1xx answers before it. */
  interim: number[]
  /** The bytes after the answer: the next one, or stray bytes. */
  rest: Buffer
}

export interface AnswerTo {
  /** The method of its request; an answer to HEAD has no body. */
  method?: string
}

/** The first final answer in `bytes`, cut off or whole; throws when there is no head. */
export function parseAnswer(bytes: Buffer, { method = 'GET' }: AnswerTo = {}): Answer {
  const interim: number[] = []
  for (let at = 0; ;) {
    const head = parseHead(bytes.subarray(at))
    if (head === null) throw new Error(`no head in ${JSON.stringify(bytes.toString('latin1', at, at + 200))}`)
    const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(head.line)?.[1])
    if (!status) throw new Error(`not a status line: ${JSON.stringify(head.line)}`)
    at += head.length
    if (status < 200 && status !== 101) interim.push(status)
    else return { ...head, status, interim, ...readBody(bytes.subarray(at), head, status, method) }
  }
}

type Body = Pick<Answer, 'body' | 'isWhole' | 'rest'>

function readBody(bytes: Buffer, head: Head, status: number, method: string): Body {
  const length = head.header('content-length')
  if (method === 'HEAD' || status === 101 || status === 204 || status === 304) return cut(bytes, 0)
  if (head.header('transfer-encoding') === 'chunked') return readChunks(bytes)
  return length === null ? cut(bytes, bytes.length) : cut(bytes, Number(length))
}

const cut = (bytes: Buffer, n: number): Body => ({
  body: bytes.subarray(0, n),
  isWhole: bytes.length >= n,
  rest: bytes.subarray(n),
})

function readChunks(bytes: Buffer): Body {
  const pieces: Buffer[] = []
  const broken = (): Body => ({ body: Buffer.concat(pieces), isWhole: false, rest: Buffer.alloc(0) })
  for (let at = 0; ;) {
    const end = bytes.indexOf('\r\n', at)
    const size = /^[0-9a-f]+/i.exec(end < 0 ? '' : bytes.toString('latin1', at, end))
    if (size === null) return broken()
    const n = Number.parseInt(size[0], 16)
    if (n === 0) {
      // Trailers, if any, end with an empty line as a head does.
      const last = bytes.indexOf('\r\n\r\n', end)
      if (last < 0) return broken()
      return { body: Buffer.concat(pieces), isWhole: true, rest: bytes.subarray(last + 4) }
    }
    pieces.push(bytes.subarray(end + 2, end + 2 + n))
    at = end + 2 + n + 2
    if (at > bytes.length) return broken()
  }
}

export interface RawAnswer {
  bytes: Buffer
  closed: Closed
  /** The time that this process ran until the connection was closed. */
  livedMs: number
}

export interface RequestOptions {
  withinMs?: number
  /** Sends FIN after the request. */
  half?: boolean
}

/** Sends the bytes on a connection of their own, and collects all bytes until the other side closes it. */
export async function requestRaw(
  t: Test,
  port: number,
  bytes: Uint8Array | string,
  { withinMs, half = false }: RequestOptions = {},
): Promise<RawAnswer> {
  const watch = stopwatch(t)
  const wire = await connect(t, port)
  void wire.write(bytes)
  if (half) wire.end()
  const closed = await within(wire.closed, { what: 'the answer to end', ...(withinMs && { withinMs }) })
  return { bytes: await wire.received, closed, livedMs: watch.livedMs }
}
