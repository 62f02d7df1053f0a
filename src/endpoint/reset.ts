// RST for a Node socket, plain or TLS, in any state.

import type { Socket } from 'node:net'
import { isSecure, rawOf } from './raw-socket.ts'

const kIsResetting = Symbol('is resetting')

/** Sends RST; a unix socket, which has none, is just closed. */
export function resetSocket(socket: Socket): void {
  // While a FIN is being handed to the kernel, libuv refuses to reset, and Node would leak the descriptor.
  const isShuttingDown = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished
  if (!isShuttingDown) return resetOrDestroy(socket)
  if (isSecure(socket)) return resetSecure(socket)
  socket.once('finish', () => resetOrDestroy(socket))
}

/**
 * The FIN of a TLS socket follows its close_notify, which a stalled peer may never take. A second call, which
 * every owner makes in its next sweep, closes the socket without RST: nothing else would end it after that.
 */
function resetSecure(socket: Socket): void {
  const marked = socket as Socket & { [kIsResetting]?: true }
  if (marked[kIsResetting]) return void rawOf(socket).destroy()
  marked[kIsResetting] = true
  socket.once('finish', () => resetOrDestroy(socket))
}

function resetOrDestroy(socket: Socket): void {
  const raw = rawOf(socket)
  if (raw.destroyed) return
  try {
    raw.resetAndDestroy()
  } catch {
    raw.destroy()
  }
}
