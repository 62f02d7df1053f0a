// Who counts as one client: an IPv4 address, or an IPv6 /64 (a client could take a new address of it for every connection).

import { isIP } from 'node:net'
import { Address, networkOf } from '../core/address.ts'

/** From `ip:port` as in `Connection.clientAddress` (the port may be missing); null for a Unix socket, whose peers cannot be told apart. */
export function clientKey(address: string): string | null {
  const ip = Address.parse(address)?.ip ?? address
  return isIP(ip) === 0 ? null : networkOf(ip)
}
