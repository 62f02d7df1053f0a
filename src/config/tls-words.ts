// The words of TLS in the configuration: cipher suites as OpenSSL names them, protocols as ALPN does.

import { nodeTls } from '../core/late.ts'
import type { Parsed } from './words.ts'
import { show, suggest } from './words.ts'

/** The name of one suite, not a class of them or a rule such as `!aNULL` or `@SECLEVEL=2`. */
const suite = /^(TLS_[A-Z0-9_]+|[A-Z0-9]+-[A-Z0-9-]+)$/

/** OpenSSL silently ignores unknown names: a typo would remove a suite. */
export function parseCiphers(input: unknown): Parsed<string> {
  if (typeof input !== 'string' || !/^[A-Za-z0-9_:!+@=. -]+$/.test(input))
    return { problem: `got ${show(input)}, write suites as OpenSSL names them, with colons between them` }
  const known = nodeTls()
    .getCiphers()
    .map((name) => name.toUpperCase())
  for (const word of input.split(/[: ]/)) {
    if (!suite.test(word) || known.includes(word)) continue
    const meant = suggest(word, known)
    return {
      problem: `names ${word}, which OpenSSL does not know${meant === null ? ', write another' : `; did you mean ${meant}?`}`,
    }
  }
  try {
    nodeTls().createSecureContext({ ciphers: input })
    return { value: input }
  } catch {
    return {
      problem: `got ${show(input)}, of which OpenSSL takes nothing, write suites such as ECDHE-RSA-AES128-GCM-SHA256`,
    }
  }
}

/** A name that ALPN can carry (RFC 7301 section 3.1), in printable characters. */
export function parseProtocol(input: unknown): Parsed<string> {
  if (typeof input === 'string' && /^[!-~]{1,255}$/.test(input)) return { value: input }
  return { problem: `got ${show(input)}, write the name of a protocol such as h2 or http/1.1` }
}
