// Addresses in the form of the log, turned into the values that records hold.

import { isIP } from 'node:net'
import { Address, UNIX_CLIENT } from '../../src/core/address.ts'
import type { ClientAddress } from '../../src/core/address.ts'

/** `ip:port`, `[ip]:port`, `ip` or `unix`. */
export function addressOf(text: string): ClientAddress {
  return text === UNIX_CLIENT.text ? UNIX_CLIENT : atPort(text)
}

export function atPort(text: string): Address {
  const address = Address.parse(text)
  if (address === null && isIP(text) === 0) throw new Error(`${text} is no address`)
  return address ?? new Address(text, null)
}
