// The end of a client's half: decides whether the connection ends with it.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Half } from '../pair/half.ts'
import type { Exchange } from './exchange.ts'
import type { Intake } from './intake.ts'

/** Why the connection of a client that has ended its half ends; null where the client is still served. */
export function endOfClient(
  exchange: Exchange | null,
  { held, isEmpty }: Pick<Intake, 'held' | 'isEmpty'>,
  abortsOnHalfClose: boolean,
): Close | null {
  if (exchange !== null && abortsOnHalfClose) return early()
  if (held > 0) return null
  if (exchange === null)
    return isEmpty
      ? makeClose('eof', 'client', 'relay')
      : makeClose('aborted', 'client', 'handshake', 'FIN inside a request')
  return exchange.isRequestComplete
    ? null
    : makeClose('aborted', 'client', 'relay', 'left before its request was complete')
}

/**
 * A client that is not read while its request waits, since it has sent so much: its RST ends it in a later
 * turn. Its FIN may stand behind the rest of its request.
 */
export function endUnread(
  exchange: Exchange | null,
  { source, isPaused }: Pick<Half, 'source' | 'isPaused'>,
  abortsOnHalfClose: boolean,
): Close | null {
  const waits = exchange !== null && (exchange.reachedAt === null || exchange.isRequestComplete)
  return waits && isPaused && source.hasPeerLeft?.() === true && abortsOnHalfClose ? early() : null
}

function early(): Close {
  const detail = 'left before its answer was complete (http.abortOnHalfClose)'
  return makeClose('aborted', 'client', 'relay', detail)
}
