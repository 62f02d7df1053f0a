// Schemes that authenticate a connection and not a request (RFC 4559 section 5): every request on a connection on which one of them was spoken
// is served as its user, with no credentials of its own.

import type { Fields } from './fields.ts'
import { AUTHORIZATION, WWW_AUTHENTICATE } from './header-name.ts'

const scheme = /^(?:ntlm|negotiate)(?:[ \t,]|$)/i

/** The credentials of a request make the connection that carries it its client's alone. */
export function bindsConnection(request: Fields): boolean {
  return request.values(AUTHORIZATION).some((value) => scheme.test(value))
}

/** An answer asks for such credentials. */
export function asksToBind(answer: Fields): boolean {
  return answer
    .values(WWW_AUTHENTICATE)
    .some((value) => value.split(',').some((challenge) => scheme.test(challenge.trim())))
}
