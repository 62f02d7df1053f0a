// Who counts as one client: an IPv4 address, or an IPv6 /64, which is the least that one household or host is given (a
// client could take a new address of it for every connection). An IPv4 address that came in over IPv6 is that address.

import { isIPv4 } from 'node:net'

/** From `ip:port` as in `Connection.clientAddress` (the port may be missing); null for a Unix socket, whose peers cannot be told apart. */
export function clientKey(address: string): string | null {
  const ip = withoutPort(address)
  if (isIPv4(ip)) return ip
  if (!ip.includes(':')) return null
  const groups = groupsOf(ip)
  const isMapped = groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff
  if (isMapped) return [groups[6]! >> 8, groups[6]! & 0xff, groups[7]! >> 8, groups[7]! & 0xff].join('.')
  return `${groups.slice(0, 4).map((group) => group.toString(16)).join(':')}::/64`
}

function withoutPort(address: string): string {
  if (address.startsWith('[')) return address.slice(1, address.indexOf(']'))
  const colon = address.indexOf(':')
  return colon !== -1 && colon === address.lastIndexOf(':') ? address.slice(0, colon) : address
}

/** The eight groups of an IPv6 address, in any of its spellings. */
function groupsOf(ip: string): number[] {
  const [head = '', tail] = ip.split('%', 1)[0]!.split('::')
  const before = numbers(head)
  const after = tail === undefined ? [] : numbers(tail)
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

function numbers(part: string): number[] {
  return part === '' ? [] : part.split(':').flatMap((group) => (group.includes('.') ? pair(group) : [Number.parseInt(group, 16)]))
}

/** The last 32 bits, written as an IPv4 address. */
function pair(dotted: string): [number, number] {
  const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number)
  return [a * 256 + b, c * 256 + d]
}
