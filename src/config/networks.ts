// Networks, and those that an operator names by a word. Separate from the keys, which a running gate does not
// need.

import { BlockList, isIP } from 'node:net'
import { parseCidr } from './cidr.ts'
import type { Cidr } from './cidr.ts'

/** Stands for the networks from which no outsider reaches us, and for unix sockets. */
export const PRIVATE = 'private'

/**
 * RFC 1918, RFC 4193, RFC 6598 (carrier-grade NAT, where clouds put their pods), RFC 3927 and 4291
 * (link-local), and loopback.
 */
const privateNetworks: readonly Cidr[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  'fc00::/7',
  '100.64.0.0/10',
  '169.254.0.0/16',
  'fe80::/10',
  '127.0.0.0/8',
  '::1',
].map((text) => {
  const parsed = parseCidr(text)
  if (!('value' in parsed)) throw new Error(text)
  return parsed.value
})

/** The networks of a list, with words resolved. */
function networksOf(list: readonly (Cidr | typeof PRIVATE)[]): Cidr[] {
  return list.flatMap((one) => (one === PRIVATE ? privateNetworks : one))
}

/** Whether an address is in one of the networks. Mapped IPv4 addresses are IPv4 on both sides. */
export function contains(networks: readonly Cidr[]): (address: string) => boolean {
  if (networks.length === 0) return () => false
  const list = new BlockList()
  for (const { address, prefix, family } of networks) list.addSubnet(address, prefix, family)
  return (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
}

/**
 * Whether a peer at that address is one of a list, null for a unix socket: `private` has these as it has
 * loopback, which more processes can reach.
 */
export function trusts(list: readonly (Cidr | typeof PRIVATE)[]): (ip: string | null) => boolean {
  const isInside = contains(networksOf(list))
  const hasUnix = list.includes(PRIVATE)
  return (ip) => (ip === null ? hasUnix : isInside(ip))
}
