// The check of addresses: the clients that may connect at all. `deny` wins; if `allow` names anybody, nobody
// else may. A client on a unix socket has no address, and is let in: the file system decides which clients
// reach that socket.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { ClientAddress } from '../core/address.ts'

export interface AccessRules {
  /** Null allows everybody. */
  isAllowed: ((ip: string) => boolean) | null
  isDenied: (ip: string) => boolean
}

export function judgeAccess({ isAllowed, isDenied }: AccessRules, { ip }: ClientAddress): Close | null {
  if (ip === null) return null
  if (isDenied(ip)) return makeClose('denied', 'client', 'admit', 'access.deny')
  return isAllowed === null || isAllowed(ip) ? null : makeClose('denied', 'client', 'admit', 'access.allow')
}
