// The addresses that need no resolver: IP addresses, unix sockets, and `localhost`.

import { isIP } from 'node:net'
import type { LookupFunction } from 'node:net'
import type { Target } from './dial.ts'

/** An address that needs no resolver; null for a name that does. */
export function asLiteral(target: Target): Target | null {
  if ('path' in target || isIP(target.host) !== 0) return target
  // RFC 6761: `localhost` is always this host. It is one target, whose two addresses one dial tries, because
  // it is one service.
  return target.host === 'localhost' ? { ...target, lookup: lookupLoopback } : null
}

const lookupLoopback: LookupFunction = (_name, { all }, callback) => {
  if (all === true)
    callback(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 },
    ])
  else callback(null, '127.0.0.1', 4)
}
