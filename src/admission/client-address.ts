// Who a client is, as gates compare it and as everybody else shows it. One spelling for one client: IPv4 addresses that came in
// over IPv6 are the IPv4 addresses that they are.

import { isIPv4 } from 'node:net'
import type { Socket } from 'node:net'

export interface ClientAddress {
  /** For comparison, without the interface of a link-local one; null for a unix socket, which has none. */
  ip: string | null
  /** `ip:port`, `[ip]:port` or `unix`. */
  text: string
}

export const UNIX_CLIENT: ClientAddress = { ip: null, text: 'unix' }

export function clientAddress(ip: string, port: number): ClientAddress {
  const plain = unmapped(ip)
  const zone = plain.indexOf('%')
  return { ip: zone < 0 ? plain : plain.slice(0, zone), text: formatAddress(plain, port) }
}

/** Who is at the other end of a socket that a TCP port accepted. Null: it was reset before, and the kernel has forgotten who it was. */
export function peerOf({ remoteAddress, remotePort }: Socket): ClientAddress | null {
  return remoteAddress === undefined || remotePort === undefined ? null : clientAddress(remoteAddress, remotePort)
}

/** Where the client connected to; null for a unix socket. */
export function localOf({ localAddress, localPort }: Socket): string | null {
  return localAddress === undefined || localPort === undefined ? null : clientAddress(localAddress, localPort).text
}

/** As Node writes the addresses of sockets (RFC 5952), so that one client has one name, whichever way it was told. */
export function spellIPv6(text: string): string {
  const spelt = new URL(`http://[${text}]/`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(spelt)
  if (mapped === null) return spelt
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

function formatAddress(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
}

function unmapped(ip: string): string {
  return ip.startsWith('::ffff:') && isIPv4(ip.slice(7)) ? ip.slice(7) : ip
}
