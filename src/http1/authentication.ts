// Schemes that authenticate a connection and not a request (RFC 4559 section 5): whoever has a connection on which one of them was spoken
// is served as its user, with no credentials of its own.

import { valuesOf } from './head.ts'
import type { Header } from './head.ts'

const scheme = /^(?:ntlm|negotiate)(?:[ \t,]|$)/i

/** The credentials of a request make the connection that carries it its client's alone. */
export function bindsConnection(request: readonly Header[]): boolean {
  return valuesOf(request, 'authorization').some((value) => scheme.test(value))
}

/** An answer asks for such credentials. */
export function asksToBind(answer: readonly Header[]): boolean {
  return valuesOf(answer, 'www-authenticate').some((value) => value.split(',').some((challenge) => scheme.test(challenge.trim())))
}
