// Addresses: `host:port`, `:port` (all interfaces, IPv4 and IPv6), `[::1]:port` and `unix:/path`. Whether two
// of them collide is decided from the text alone; names are not resolved here.

import { isIPv4, isIPv6, SocketAddress } from 'node:net'
import { isLoopbackHost, joinPort } from '../core/address.ts'
import type { Parsed } from './words.ts'
import { show } from './words.ts'

/** `host: null` is every interface, both families. Port 0 (listening only) is any free port. */
export type Address = { kind: 'tcp'; host: string | null; port: number } | { kind: 'unix'; path: string }

/** For listening, or for dialling: a dial cannot go to every interface, nor to port 0. */
export type AddressUse = 'listen' | 'dial'

/** The kernel's `sun_path` holds 108 bytes with the closing NUL. */
const MAX_UNIX_PATH_BYTES = 107
const remedies = {
  listen: 'write host:port or :port, such as 127.0.0.1:8080 or :8080',
  dial: 'write host:port, such as 127.0.0.1:8080',
} as const

export function addressRemedy(use: AddressUse): string {
  return remedies[use]
}

export function parseAddress(input: unknown, use: AddressUse): Parsed<Address> {
  const got = `got ${show(input)}`
  const no = (remedy: string): { problem: string } => ({ problem: `${got}, ${remedy}` })
  if (typeof input === 'number' && Number.isInteger(input)) {
    return no(`write host:port, such as ${use === 'dial' ? '127.0.0.1' : ''}:${input}`)
  }
  if (typeof input !== 'string' || input === '') return no(remedies[use])
  if (input.startsWith('unix:')) return parseUnix(input.slice('unix:'.length), no)
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(input)) return no(`${remedies[use]}, without a scheme or path`)
  const match = /^(.*):(\d{1,5})$/s.exec(input)
  if (match === null) return no(isIPv6(input) ? `write [${input}]:port` : remedies[use])
  const [, host = '', digits = ''] = match
  const port = Number(digits)
  const lowest = use === 'listen' ? 0 : 1
  if (port < lowest || port > 65_535) return no('the port must be 1 to 65535')
  if (host === '')
    return use === 'listen'
      ? { value: { kind: 'tcp', host: null, port } }
      : no(`write which host, such as 127.0.0.1:${port}`)
  if (host === '*') return no(use === 'listen' ? `write :${port}` : remedies[use])
  return parseHost(host, port, no)
}

type Refuse = (remedy: string) => { problem: string }

function parseUnix(path: string, no: Refuse): Parsed<Address> {
  if (!path.startsWith('/')) return no('write an absolute path, such as unix:/run/app.sock')
  // A NUL would cut the path short in the kernel; the other characters cannot be shown on one line.
  if (/[\p{C}\p{Zl}\p{Zp}]/u.test(path)) return no('the path must not hold control characters')
  if (Buffer.byteLength(path) > MAX_UNIX_PATH_BYTES)
    return no(`the path must be at most ${MAX_UNIX_PATH_BYTES} bytes`)
  return { value: { kind: 'unix', path } }
}

function parseHost(host: string, port: number, no: Refuse): Parsed<Address> {
  if (host.startsWith('[') && host.endsWith(']')) {
    const inner = host.slice(1, -1)
    if (!isIPv6(inner) || inner.includes('%'))
      return no('the brackets must hold an IPv6 address, such as [::1]:8080')
    // One spelling for each address, so that collisions are seen.
    return {
      value: { kind: 'tcp', host: new SocketAddress({ address: inner, family: 'ipv6' }).address, port },
    }
  }
  if (host.includes(':')) {
    if (isIPv6(host)) return no(`write [${host}]:${port}`)
    return no(
      isIPv6(`${host}:${port}`)
        ? `write [${host}:${port}]:port`
        : 'write an IPv6 address in brackets, such as [::1]:8080',
    )
  }
  if (isIPv4(host)) return { value: { kind: 'tcp', host, port } }
  // A resolver would look `256.1.1.1` and `127.1` up as names, or worse, understand them.
  if (/(^|\.)\d+$/.test(host)) return no('the host is neither an IPv4 address nor a name')
  const isName = host.length <= 253 && /^(?!-)[\w-]{1,63}(?<!-)(\.(?!-)[\w-]{1,63}(?<!-))*\.?$/.test(host)
  return isName
    ? { value: { kind: 'tcp', host: host.toLowerCase(), port } }
    : no('the host is not a valid name')
}

/** The text that `parseAddress` parses to the same address. */
export function formatAddress(address: Address): string {
  if (address.kind === 'unix') return `unix:${address.path}`
  if (address.host === null) return `:${address.port}`
  return joinPort(address.host, address.port)
}

/** Only this machine (this pod) can reach it, as with a Unix socket. */
export function isLoopback(address: Address): boolean {
  if (address.kind === 'unix') return true
  return address.host !== null && isLoopbackHost(address.host)
}

/** Whether two listeners on these addresses would collide. */
export function overlaps(one: Address, other: Address): boolean {
  if (one.kind === 'unix' || other.kind === 'unix')
    return one.kind === 'unix' && other.kind === 'unix' && one.path === other.path
  if (one.port !== other.port || one.port === 0) return false
  return coversHost(one.host, other.host) || coversHost(other.host, one.host)
}

/**
 * `::` takes both families, as Node opens it; `0.0.0.0` takes IPv4 and any name, which may resolve to IPv4.
 */
function coversHost(wide: string | null, host: string | null): boolean {
  if (wide === null || wide === '::' || wide === host) return true
  if (wide === '0.0.0.0') return host === null || !isIPv6(host)
  return wide === 'localhost' && (host === '::1' || host === '127.0.0.1')
}

/** Whether a dial to `target` would arrive at a listener on `listener`: an endless loop. */
export function reaches(target: Address, listener: Address): boolean {
  if (target.kind === 'unix' || listener.kind === 'unix') return overlaps(target, listener)
  if (target.port !== listener.port || target.port === 0) return false
  // A dial to the unspecified address goes to loopback.
  const isHere = isLoopback(target) || target.host === '0.0.0.0' || target.host === '::'
  return target.host === listener.host || (isHere && overlaps(target, listener))
}
