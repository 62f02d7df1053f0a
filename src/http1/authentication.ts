// Schemes that authenticate a connection and not a request (RFC 4559 section 5): after one was used on a
// connection, its service takes every further request there, without credentials, as the same user's.

import type { Fields } from './fields.ts'
import { AUTHORIZATION, WWW_AUTHENTICATE } from './header-name.ts'

const scheme = /^(?:ntlm|negotiate)(?:[ \t,]|$)/i

/** The request has such credentials, so that only its client may use the connection that carries it. */
export function bindsConnection(request: Fields): boolean {
  return request.values(AUTHORIZATION).some((value) => scheme.test(value))
}

/** A challenge of the service, which the client responds to on the same connection. */
const challenge = /^(?:ntlm|negotiate) +[^\s,=]/i

/** The answer asks for such credentials. */
export function asksToBind(answer: Fields): boolean {
  return answer
    .values(WWW_AUTHENTICATE)
    .some((value) => value.split(',').some((one) => scheme.test(one.trim())))
}

/** The answer is one step of such a login: it has a challenge, and not only the name of a scheme. */
export function isChallenge(answer: Fields): boolean {
  return answer
    .values(WWW_AUTHENTICATE)
    .some((value) => value.split(',').some((one) => challenge.test(one.trim())))
}
