// IP addresses and their ports as values: read once where they come in, written one way, compared by what they are. An IPv4 address that came
// in over IPv6 is the IPv4 address that it is, and the interface of a link-local one is no part of it, though it is shown.

import { BlockList, isIP, isIPv4, isIPv6, SocketAddress } from 'node:net'

/** The peer at the other end: an Address, or a client of a unix socket. */
export interface ClientAddress {
  /** For comparison, without the interface of a link-local one; null for a unix socket, which has none. */
  readonly ip: string | null
  /** Null where nobody said. */
  readonly port: number | null
  /** As everybody shows it: `ip:port`, `[ip]:port`, the address alone where there is no port, or `unix`. */
  readonly text: string
}

export const UNIX_CLIENT: ClientAddress = { ip: null, port: null, text: 'unix' }

export class Address implements ClientAddress {
  /** In the spelling of RFC 5952, without an interface. */
  readonly ip: string
  readonly port: number | null
  /** Its IP, with the interface. */
  readonly #shown: string

  /** `ip` is as the system writes it, which may have an interface: `fe80::1%eth0`. */
  constructor(ip: string, port: number | null) {
    const plain = unmapped(ip)
    this.ip = withoutZone(plain)
    this.port = port
    this.#shown = plain
  }

  /** Made when it is asked for: each connection keeps its address, and few are looked at. */
  get text(): string {
    return this.port === null ? this.#shown : joinPort(this.#shown, this.port)
  }

  /** What `text` says; null where it is no address with a port (the name of a host, a unix socket). */
  static parse(text: string): Address | null {
    const match = /^\[?([0-9A-Fa-f:.]+(?:%[^\]]*)?)\]?:(\d{1,5})$/.exec(text)
    if (match === null || isIP(withoutZone(match[1]!)) === 0) return null
    return new Address(match[1]!, Number(match[2]))
  }

  /** 4 or 16, as they go over the network. */
  get bytes(): Buffer {
    return bytesOf(this.ip)
  }
}

/** 4 or 16, of an address in any spelling. */
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

/** As the system writes it, so that one client has one name, whichever way it was told. */
export function spell(ip: string): string {
  return isIPv6(ip) ? unmapped(new SocketAddress({ address: withoutZone(ip), family: 'ipv6' }).address) : ip
}

/** The prefix of an IPv4 address that came in over IPv6. */
const MAPPED = Buffer.from('00000000000000000000ffff', 'hex')

/** The key of one client: an IPv4 address, or an IPv6 /64, which is the least that one household or host is given. */
export function networkOf(ip: string): string {
  if (isIPv4(ip)) return ip
  const bytes = bytesOf(ip)
  if (bytes.subarray(0, 12).equals(MAPPED)) return bytes.subarray(12).join('.')
  return `${[0, 2, 4, 6].map((at) => bytes.readUInt16BE(at).toString(16)).join(':')}::/64`
}

/** `host:port`, with brackets around what has colons itself. */
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

/** Only in the spelling of the system: what peers write is spelt first. */
function unmapped(ip: string): string {
  return ip.startsWith('::ffff:') && isIPv4(ip.slice(7)) ? ip.slice(7) : ip
}

function withoutZone(ip: string): string {
  const zone = ip.indexOf('%')
  return zone < 0 ? ip : ip.slice(0, zone)
}
