// Both ends of a socket that a TCP port accepted.

import type { Socket } from 'node:net'
import { Address } from '../core/address.ts'

/** The peer's address. Null: the peer reset the connection, and the kernel has forgotten the address. */
export function peerOf({ remoteAddress, remotePort }: Socket): Address | null {
  return remoteAddress === undefined || remotePort === undefined
    ? null
    : new Address(remoteAddress, remotePort)
}

/** The address that the client connected to; null for a unix socket. */
export function localOf({ localAddress, localPort }: Socket): Address | null {
  return localAddress === undefined || localPort === undefined ? null : new Address(localAddress, localPort)
}
