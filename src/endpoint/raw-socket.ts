// The socket beneath a TLS one. A TLS socket cannot be reset, and does not tell what the kernel holds for its peer: for
// both, the socket that was accepted or dialled is asked. Every file that needs it finds it here; a plain socket is its own.

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

/** The socket that Node's TLS server was given for this one: it hands out the TLS socket alone. Undocumented, and as old as TLSSocket. */
export function parentOf(secure: Socket): Socket {
  const { _parent: parent } = secure as unknown as { _parent?: Socket }
  invariant(parent !== undefined, 'a TLS socket that does not tell what it is over')
  return parent
}
