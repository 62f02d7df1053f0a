// Writes that Node's TLS keeps back for ever, since their peer is gone (`strandedBy`): their socket is ended.

import type { Socket } from 'node:net'
import { systemClock } from '../core/clock.ts'
import type { PeerSide } from '../core/close.ts'
import { isSecure } from './raw-socket.ts'
import { strandedBy } from './read-buffer.ts'

/**
 * More turns of the event loop than Node's TLS takes from a write to its callback where the kernel has room.
 */
const STRANDED_TURNS = 20

/** `flushes` tells the writes of `socket` that the kernel has taken so far; another one is in progress. */
export function checkStranded(socket: Socket, side: PeerSide, flushes: () => number): void {
  if (!isSecure(socket)) return
  const cause = strandedBy(socket)
  if (cause === 'no peer') loseStranded(socket)
  else if (cause === 'unknown' && side === 'client')
    watchStranded(socket, { flushes, before: flushes() }, STRANDED_TURNS)
}

interface Write {
  flushes: () => number
  before: number
}

/** A client begins no handshake anew, so nothing but its end keeps a write back for `turns`. */
function watchStranded(socket: Socket, write: Write, turns: number): void {
  if (write.before !== write.flushes() || socket.destroyed) return
  if (turns > 0) systemClock.nextTurn(() => watchStranded(socket, write, turns - 1))
  else if (strandedBy(socket) === 'unknown') loseStranded(socket)
}

function loseStranded(socket: Socket): void {
  // As a write that fails, so that the last words of an upstream are heard.
  const gone = { code: 'ECONNRESET', syscall: 'write' }
  socket.destroy(Object.assign(new Error('the peer is gone'), gone))
}
