// The browser guard: keeps web pages, except our own, away from the admin server. A browser on the operator's
// machine can reach a loopback port: by DNS rebinding (a foreign name that resolves to 127.0.0.1, seen in
// Host) or by a request from a foreign page (seen in Origin or Sec-Fetch-Site). Tools such as curl and
// `kubectl port-forward` send neither.
//
// Our own page sends requests from its own origin. Each change also carries a token that only a page of this
// origin can have read from this process: no form, no image and no page of another port can have it.

import type { IncomingMessage } from 'node:http'
import { isLoopbackHost } from '../core/address.ts'
import { nodeCrypto } from '../core/late.ts'
import type { Answer } from '../ops/answer.ts'
import { isForPage } from './page-files.ts'

/** The token that our page sends with each change; made at its first use, and gone with the process. */
export class PageToken {
  #value: string | null = null

  get value(): string {
    return (this.#value ??= nodeCrypto().randomBytes(24).toString('base64url'))
  }

  isIn(request: IncomingMessage): boolean {
    const given = request.headers['x-sidegate-page']
    if (this.#value === null || typeof given !== 'string' || given.length !== this.#value.length) return false
    return nodeCrypto().timingSafeEqual(Buffer.from(given, 'latin1'), Buffer.from(this.#value, 'latin1'))
  }
}

/** For a server on loopback: no foreign page, and no name but that of this host. */
export function guardAgainstBrowsers(request: IncomingMessage, token: PageToken): Answer | null {
  const page = guardAgainstPages(request, token)
  if (page !== null) return page
  const { host } = request.headers
  if (host === undefined || !isLoopbackHost(hostName(host))) {
    return { status: 403, body: 'the Host header must be localhost or a loopback address\n' }
  }
  return null
}

/** Judges headers that browsers send on their own, and tools do not. */
export function guardAgainstPages(request: IncomingMessage, token: PageToken): Answer | null {
  const { origin, host, 'sec-fetch-site': site } = request.headers
  if (origin !== undefined && (host === undefined || !isOwn(origin, host)))
    return { status: 403, body: 'requests of other origins are refused\n' }
  if (site !== undefined && site !== 'none' && site !== 'same-origin' && !isVisit(request))
    return { status: 403, body: 'requests from other sites are refused\n' }
  const isPage = origin !== undefined || site !== undefined
  if (isPage && request.method !== 'GET' && request.method !== 'HEAD' && !token.isIn(request))
    return {
      status: 403,
      body: 'a page changes nothing without its token: X-Sidegate-Page, of GET /page-token\n',
    }
  return null
}

/** TLS may end at a proxy before us: then the page has https, and we get http. */
function isOwn(origin: string, host: string): boolean {
  return origin === `http://${host}` || origin === `https://${host}`
}

/**
 * A user follows a link to the page: the address bar then shows our address, and the page with the link
 * learns nothing.
 */
function isVisit(request: IncomingMessage): boolean {
  const { 'sec-fetch-mode': mode, 'sec-fetch-dest': destination } = request.headers
  return mode === 'navigate' && destination === 'document' && isForPage(request)
}

/** `localhost:17020`, `127.0.0.1` and `[::1]:17020` without port and brackets; empty for other headers. */
function hostName(header: string): string {
  return /^\[([^\]]*)\](?::\d*)?$/.exec(header)?.[1] ?? /^([^:[\]]*)(?::\d*)?$/.exec(header)?.[1] ?? ''
}
