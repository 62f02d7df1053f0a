// The end of a client's half: decides whether the connection ends with it.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Exchange } from './exchange.ts'
import type { Intake } from './intake.ts'

/** Why the connection of a client that has ended its half ends; null where the client is still served. */
export function endOfClient(
  exchange: Exchange | null,
  { held, isEmpty }: Pick<Intake, 'held' | 'isEmpty'>,
  abortsOnHalfClose: boolean,
): Close | null {
  if (exchange !== null && abortsOnHalfClose)
    return makeClose(
      'aborted',
      'client',
      'relay',
      'left before its answer was complete (http.abortOnHalfClose)',
    )
  if (held > 0) return null
  if (exchange === null)
    return isEmpty
      ? makeClose('eof', 'client', 'relay')
      : makeClose('aborted', 'client', 'handshake', 'FIN inside a request')
  return exchange.isRequestComplete
    ? null
    : makeClose('aborted', 'client', 'relay', 'left before its request was complete')
}
