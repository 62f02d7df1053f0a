// IP addresses with their ports as values: parsed once on entry, spelt one way, compared by value. An
// IPv4-mapped IPv6 address counts as the IPv4 address itself. The zone of a link-local address (`%eth0`) is
// shown, and left out of comparisons.

import { BlockList, isIP, isIPv4, isIPv6, SocketAddress } from 'node:net'

/** The peer at the other end: an Address, or a client of a unix socket. */
export interface ClientAddress {
  /** For comparison, without the zone of a link-local address; null for a unix socket, which has no IP. */
  readonly ip: string | null
  /** Null where no source names a port. */
  readonly port: number | null
  /**
   * For display, the same everywhere: `ip:port`, `[ip]:port`, the address alone where there is no port, or
   * `unix`.
   */
  readonly text: string
}

export const UNIX_CLIENT: ClientAddress = { ip: null, port: null, text: 'unix' }

export class Address implements ClientAddress {
  /** In the spelling of RFC 5952, without a zone. */
  readonly ip: string
  readonly port: number | null
  /** The IP with its zone. */
  readonly #shown: string

  /** `ip` is in the system's spelling, which may have a zone: `fe80::1%eth0`. */
  constructor(ip: string, port: number | null) {
    const plain = unmapped(ip)
    this.ip = withoutZone(plain)
    this.port = port
    this.#shown = plain
  }

  /** Made on demand: each connection keeps its address, and few are ever displayed. */
  get text(): string {
    return this.port === null ? this.#shown : joinPort(this.#shown, this.port)
  }

  /** Reads `text`; null where it is not an address with a port (a host name, a unix socket). */
  static parse(text: string): Address | null {
    const match = /^\[?([0-9A-Fa-f:.]+(?:%[^\]]*)?)\]?:(\d{1,5})$/.exec(text)
    if (match === null || isIP(withoutZone(match[1]!)) === 0) return null
    return new Address(match[1]!, Number(match[2]))
  }

  /** 4 or 16 bytes, in network order. */
  get bytes(): Buffer {
    return bytesOf(this.ip)
  }
}

/** The 4 or 16 bytes of an address in any spelling. */
export function bytesOf(ip: string): Buffer {
  if (isIPv4(ip)) return Buffer.from(ip.split('.').map(Number))
  const [head = '', tail] = withoutZone(ip).split('::')
  const before = groupsOf(head)
  const after = tail === undefined ? [] : groupsOf(tail)
  const bytes = Buffer.alloc(16)
  before.forEach((group, at) => bytes.writeUInt16BE(group, 2 * at))
  after.forEach((group, at) => bytes.writeUInt16BE(group, 16 - 2 * (after.length - at)))
  return bytes
}

function groupsOf(part: string): number[] {
  if (part === '') return []
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)]
    // The last 32 bits, written as an IPv4 address.
    const four = bytesOf(group)
    return [four.readUInt16BE(0), four.readUInt16BE(2)]
  })
}

/** The address of 4 or 16 bytes. */
export function ipOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  return spell(Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16)).join(':'))
}

/** The system's spelling of `ip`, so that one client has one name, whatever spelling its source used. */
export function spell(ip: string): string {
  return isIPv6(ip) ? unmapped(new SocketAddress({ address: withoutZone(ip), family: 'ipv6' }).address) : ip
}

/** The prefix of an IPv4-mapped IPv6 address. */
const MAPPED = Buffer.from('00000000000000000000ffff', 'hex')

/** The key of one client: an IPv4 address, or an IPv6 /64, the least that a household or host is given. */
export function networkOf(ip: string): string {
  if (isIPv4(ip)) return ip
  const bytes = bytesOf(ip)
  if (bytes.subarray(0, 12).equals(MAPPED)) return bytes.subarray(12).join('.')
  return `${[0, 2, 4, 6].map((at) => bytes.readUInt16BE(at).toString(16)).join(':')}::/64`
}

/** `host:port`, with brackets around a host that contains colons. */
export function joinPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** A name or a literal that cannot be anything but this host. 127.0.0.1.example.com is not. */
export function isLoopbackHost(host: string): boolean {
  const family = isIP(host)
  return family === 0
    ? host.toLowerCase() === 'localhost'
    : loopback.check(host, family === 4 ? 'ipv4' : 'ipv6')
}

/** Expects the system's spelling: callers pass what peers wrote through `spell` first. */
function unmapped(ip: string): string {
  return ip.startsWith('::ffff:') && isIPv4(ip.slice(7)) ? ip.slice(7) : ip
}

function withoutZone(ip: string): string {
  const zone = ip.indexOf('%')
  return zone < 0 ? ip : ip.slice(0, zone)
}
