// Who a client is, as gates compare it and as everybody else shows it.

import type { Socket } from 'node:net'
import { Address } from '../core/address.ts'

/** An Address, or that of nobody. */
export interface ClientAddress {
  /** For comparison, without the interface of a link-local one; null for a unix socket, which has none. */
  ip: string | null
  /** `ip:port`, `[ip]:port` or `unix`. */
  text: string
}

export const UNIX_CLIENT: ClientAddress = { ip: null, text: 'unix' }

/** Who is at the other end of a socket that a TCP port accepted. Null: it was reset before, and the kernel has forgotten who it was. */
export function peerOf({ remoteAddress, remotePort }: Socket): ClientAddress | null {
  return remoteAddress === undefined || remotePort === undefined ? null : new Address(remoteAddress, remotePort)
}

/** Where the client connected to; null for a unix socket. */
export function localOf({ localAddress, localPort }: Socket): string | null {
  return localAddress === undefined || localPort === undefined ? null : new Address(localAddress, localPort).text
}
