// Keeps web pages away from the admin server. A browser on the operator's machine can reach a loopback port: by DNS
// rebinding (a foreign name that resolves to 127.0.0.1, seen in Host) or by a request from a foreign page (seen in
// Origin or Sec-Fetch-Site). Tools such as curl and `kubectl port-forward` send neither.

import type { IncomingMessage } from 'node:http'
import { isLoopbackHost } from '../core/address.ts'
import type { Answer } from '../ops/ops-server.ts'

/** For a server on loopback: no page, and no name but that of this host. */
export function guardAgainstBrowsers(request: IncomingMessage): Answer | null {
  const page = guardAgainstPages(request)
  if (page !== null) return page
  const { host } = request.headers
  if (host === undefined || !isLoopbackHost(hostName(host))) {
    return { status: 403, body: 'the Host header must be localhost or a loopback address\n' }
  }
  return null
}

/** What browsers send of their own accord, and no tool does. */
export function guardAgainstPages(request: IncomingMessage): Answer | null {
  const { origin, 'sec-fetch-site': site } = request.headers
  if (origin !== undefined) return { status: 403, body: 'requests with an Origin header are refused\n' }
  if (site !== undefined && site !== 'none' && site !== 'same-origin') {
    return { status: 403, body: 'requests from other sites are refused\n' }
  }
  return null
}

/** `localhost:17020`, `127.0.0.1` and `[::1]:17020` without port and brackets; empty if it is none of these. */
function hostName(header: string): string {
  return /^\[([^\]]*)\](?::\d*)?$/.exec(header)?.[1] ?? /^([^:[\]]*)(?::\d*)?$/.exec(header)?.[1] ?? ''
}
