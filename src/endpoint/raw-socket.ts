// The socket beneath a TLS socket. A TLS socket cannot be reset, and does not show what the kernel holds for
// its peer: for both, callers use the accepted or dialled socket, which they find here. A plain socket is its
// own raw socket.

import type { Socket } from 'node:net'
import { invariant } from '../core/errors.ts'

const kRaw = Symbol('raw')
type SecuredSocket = Socket & { [kRaw]?: Socket }

/** `secure` speaks TLS over `raw`. */
export function setRaw(secure: Socket, raw: Socket): void {
  ;(secure as SecuredSocket)[kRaw] = raw
}

export function rawOf(socket: Socket): Socket {
  return (socket as SecuredSocket)[kRaw] ?? socket
}

export function isSecure(socket: Socket): boolean {
  return (socket as SecuredSocket)[kRaw] !== undefined
}

/**
 * The raw socket of a TLS socket that Node's TLS server made: the server hands out the TLS socket alone.
 * Undocumented, and as old as TLSSocket.
 */
export function parentOf(secure: Socket): Socket {
  const { _parent: parent } = secure as unknown as { _parent?: Socket }
  invariant(parent !== undefined, 'a TLS socket that does not tell what it is over')
  return parent
}
