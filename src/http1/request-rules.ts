// The rules for every request, an upgrade or a plain one: its host, its target, its expectation, and the
// number of gates that it came through.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { Field } from './fields.ts'
import type { Fields } from './fields.ts'
import { endToEndHeaders, without } from './head.ts'
import { EXPECT, HOPS, HOST, VIA } from './header-name.ts'
import { refused } from './refusal.ts'

export interface PlainRequest {
  method: string
  target: string
  /** As Node reports it: `1.1`, `1.0`, and others that it lets through. */
  version: string
  headers: Fields
}

export interface CheckedHead {
  /** Origin form, byte for byte as the client wrote it; `*` for an OPTIONS of the whole server. */
  target: string
  /** The headers that go on: end to end, without those that were judged here. */
  headers: Field[]
}

/** A request that has come through more proxies than this is in a loop. */
const MAX_HOPS = 10
const FIRST_HOP = Field.of('Sidegate-Hops', '1')
const hopsPattern = /^[0-9]{1,3}$/
const absolutePattern = /^https?:\/\/([^/?#]*)([^#]*)$/i
/**
 * RFC 9110 section 4.2.1 without user information: a name, an IPv4 address or an IPv6 address in brackets,
 * and a port; or empty.
 */
const hostPattern = /^(?:[A-Za-z0-9._~%!$&'()*+,;=-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?$/
/** CONNECT asks for a tunnel, TRACE for an echo of proxies' additions: neither is for a plain service. */
const FORBIDDEN_METHODS = new Set(['CONNECT', 'TRACE'])

export function checkHead(request: PlainRequest): CheckedHead | Close {
  const { method, version, headers } = request
  const problem = headProblem(request)
  if (problem !== null) return refused(problem)
  if (FORBIDDEN_METHODS.has(method)) return refused(`${method} is not served`, 405)
  if (version === '1.1' && headers.tokens(EXPECT).some((token) => token !== '100-continue'))
    return refused('an expectation that is not known here', 417)
  const hops = hopsOf(headers)
  if (hops >= MAX_HOPS || headers.tokens(VIA).length > MAX_HOPS)
    return {
      ...makeClose(
        'protocol_error',
        'client',
        'handshake',
        `more than ${MAX_HOPS} proxies on the way: a loop`,
      ),
      httpStatus: 508,
    }
  const target = originForm(request)
  if (target === null) return refused('request target that is no path of this host')
  const passed = endToEndHeaders(headers)
  if (typeof passed === 'string') return refused(`Connection lists ${passed}`)
  const goOn = headers.has(EXPECT) ? without(passed, EXPECT) : passed
  const said = headers.has(HOST) ? '' : authorityOf(request.target)
  if (said !== '') goOn.unshift(Field.of('Host', said))
  goOn.push(hops === 0 ? FIRST_HOP : Field.of('Sidegate-Hops', String(hops + 1)))
  return { target, headers: goOn }
}

function hopsOf(headers: Fields): number {
  let most = 0
  if (!headers.has(HOPS)) return most
  for (const value of headers.values(HOPS)) if (hopsPattern.test(value)) most = Math.max(most, Number(value))
  return most
}

function headProblem({ version, headers }: PlainRequest): string | null {
  if (version !== '1.1' && version !== '1.0') return 'malformed request line'
  const hosts = headers.values(HOST)
  if (hosts.length > 1) return 'more than one Host header'
  if (hosts.length === 0) return version === '1.1' ? 'no Host header' : null
  return hostPattern.test(hosts[0]!) ? null : 'malformed Host header'
}

/**
 * `*` stays for OPTIONS; absolute form is rewritten if it names the same authority as Host; null for anything
 * else.
 */
function originForm({ method, target, headers }: PlainRequest): string | null {
  if (target.startsWith('/')) return target.includes('#') ? null : target
  if (target === '*') return method === 'OPTIONS' ? target : null
  const match = absolutePattern.exec(target)
  if (match === null) return null
  const [host = match[1]!] = headers.values(HOST)
  if (!hostPattern.test(match[1]!) || authority(match[1]!, target) !== authority(host, target)) return null
  const path = match[2]!
  if (path === '' && method === 'OPTIONS') return '*'
  return path.startsWith('/') ? path : `/${path}`
}

/** The authority in a target of absolute form, for a request without Host; empty for any other target. */
function authorityOf(target: string): string {
  return absolutePattern.exec(target)?.[1] ?? ''
}

/** Without the default port of its scheme. */
function authority(written: string, target: string): string {
  const text = written.toLowerCase()
  const port = target.charCodeAt(4) === 0x3a ? ':80' : ':443'
  return text.endsWith(port) ? text.slice(0, -port.length) : text
}
