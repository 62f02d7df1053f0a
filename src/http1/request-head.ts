// The head of a client's request, judged: its meaning, its one framing, and the head for the upstream.

import type { Close } from '../core/close.ts'
import { bindsConnection } from './authentication.ts'
import type { Framing } from './body.ts'
import { forwardedLines } from './forwarding.ts'
import type { Forwarded } from './forwarding.ts'
import { parseRequestHead, withCrlf } from './head.ts'
import type { RequestHead } from './head.ts'
import { CONNECTION, EXPECT, HOST } from './header-name.ts'
import { checkRequest } from './request.ts'

export interface JudgedRequest {
  framing: Framing
  /** The client would send another request on its connection. */
  isKept: boolean
  /** The client waits for a 100 before it sends the body. */
  isWaiting: boolean
  /** The request logs in its connection, not itself (NTLM, Negotiate). */
  isPersonal: boolean
  /** The head for the upstream. */
  head: string
}

export interface RequestRules {
  maxBodyBytes: number
}

/** The preface of HTTP/2 as HTTP/1 reads it (RFC 9113 section 3.4). */
export const PREFACE_HEAD = 'PRI * HTTP/2.0\r\n\r\n'

/** The head in `text`, or the rule that it breaks. Lenient: a line may end with LF alone. */
export function readRequestHead(text: string, isLenient: boolean): RequestHead | string {
  const strict = parseRequestHead(text)
  // A head that is right strictly means the same when read leniently.
  return isLenient && typeof strict === 'string' ? parseRequestHead(withCrlf(text)) : strict
}

export function judgeRequest(
  request: RequestHead,
  rules: RequestRules,
  client: Forwarded,
): JudgedRequest | Close {
  const { method, version, headers } = request
  const checked = checkRequest(request, rules.maxBodyBytes)
  if ('reason' in checked) return checked
  const isWaiting = version === '1.1' && headers.has(EXPECT)
  const words = headers.tokens(CONNECTION)
  const { bodyBytes } = checked
  let head = `${method} ${checked.target} HTTP/1.1\r\n`
  // Only HTTP/1.0 may leave Host out. The upstream gets HTTP/1.1, which may not (RFC 9112 section 3.2), and
  // Apache and nginx refuse an empty one.
  if (version === '1.0' && !checked.headers.some(({ name }) => name === HOST))
    head += `Host: ${client.service}\r\n`
  head += forwardedLines(checked.headers, client)
  if (bodyBytes === null) head += 'Transfer-Encoding: chunked\r\n'
  if (isWaiting) head += 'Expect: 100-continue\r\n'
  return {
    framing:
      bodyBytes === null
        ? { kind: 'chunked' }
        : bodyBytes === 0
          ? { kind: 'none' }
          : { kind: 'length', bytes: bodyBytes },
    isKept: version === '1.1' ? !words.includes('close') : words.includes('keep-alive'),
    isWaiting: isWaiting && bodyBytes !== 0,
    isPersonal: bindsConnection(headers),
    head: `${head}Connection: keep-alive\r\n\r\n`,
  }
}
