// RST for a Node socket, in whatever state it is.

import type { Socket } from 'node:net'

/** RST; a unix socket knows none and is just closed. */
export function resetSocket(socket: Socket): void {
  // While a FIN is being handed to the kernel libuv refuses to reset, and Node would leak the descriptor.
  const isShuttingDown = socket.writableEnded && socket.writableLength === 0 && !socket.writableFinished
  if (isShuttingDown) socket.once('finish', () => resetOrDestroy(socket))
  else resetOrDestroy(socket)
}

function resetOrDestroy(socket: Socket): void {
  if (socket.destroyed) return
  try {
    socket.resetAndDestroy()
  } catch {
    socket.destroy()
  }
}
