// The PROXY protocol header of a client, versions 1 and 2: collected from its chunks, within a bound, and
// read strictly. We never guess: where a header is expected, anything else is refused, because a peer that
// could choose to leave it out, or to have it read in two ways, could choose its address.
//
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt

import { isIPv4, isIPv6 } from 'node:net'
import { KeptBytes } from '../endpoint/kept-bytes.ts'
import { Address, ipOf, spell, UNIX_CLIENT } from '../core/address.ts'
import type { ClientAddress } from '../core/address.ts'
import { crc32c } from './crc32c.ts'

export type ProxyVersions = 'v1' | 'v2' | 'any'

export interface ProxyHeader {
  /** Null: the header names no client (LOCAL, UNKNOWN, UNSPEC), so the peer is its own client. */
  client: ClientAddress | null
  /** The address that the client connected to; null where the header does not name it. */
  local: Address | null
}

/** The contents of a whole header, or the rule that it breaks. */
type Read = ProxyHeader | string

const V1_START = Buffer.from('PROXY ')
/** The longest line that the specification allows, with its CRLF. */
const V1_MAX_BYTES = 107
const V2_START = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])
/** Signature, version and command, family, and the length of what follows. */
const V2_FIXED_BYTES = 16
/** Room for every TLV in use; nothing else needs the 64 KiB that the length could announce. */
const V2_MAX_BYTES = 4096

const NOBODY: ProxyHeader = { client: null, local: null }

export class ProxyHeaderReader {
  readonly #versions: ProxyVersions
  #kept: KeptBytes | null = null

  constructor(versions: ProxyVersions) {
    this.#versions = versions
  }

  /** No byte has come yet. */
  get isEmpty(): boolean {
    return this.#kept === null
  }

  /**
   * Takes a chunk. `more`: the header goes on, and the whole chunk belongs to it. Otherwise returns the
   * header and how many bytes of this chunk belong to it, or the rule that it breaks.
   */
  read(bytes: Buffer, length: number): 'more' | { header: ProxyHeader; taken: number } | { problem: string } {
    const before = this.#kept?.length ?? 0
    const kept = (this.#kept ??= new KeptBytes())
    kept.append(bytes, 0, Math.min(length, V2_MAX_BYTES - before))
    const all = kept.peekAll()
    const size = this.#sizeOf(all)
    if (typeof size === 'string') return { problem: size }
    if (size === 0 || all.length < size) return 'more'
    const header =
      all[0] === V1_START[0] ? readV1(all.toString('latin1', 0, size - 2)) : readV2(all.subarray(0, size))
    kept.clear()
    return typeof header === 'string' ? { problem: header } : { header, taken: size - before }
  }

  /** The size of the whole header; 0 while it is unknown; or the rule that is already broken. */
  #sizeOf(all: Buffer): number | string {
    if (this.#versions !== 'v2' && startsLike(all, V1_START)) return sizeOfV1(all)
    if (this.#versions !== 'v1' && startsLike(all, V2_START)) return sizeOfV2(all)
    return `no PROXY header${this.#versions === 'any' ? '' : ` of version ${this.#versions.slice(1)}`}`
  }
}

/** Whether `bytes` agrees with `start`, as far as it goes. */
function startsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length)
  return bytes.compare(start, 0, length, 0, length) === 0
}

function sizeOfV1(all: Buffer): number | string {
  const end = all.indexOf(0x0a)
  if (end >= V1_MAX_BYTES || (end < 0 && all.length >= V1_MAX_BYTES))
    return `a PROXY line of more than ${V1_MAX_BYTES} bytes`
  if (end < 0) return 0
  return all.indexOf(0x0d) === end - 1 ? end + 1 : 'a PROXY line that does not end in CRLF'
}

/** `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443`. After UNKNOWN anything may stand, and none of it counts. */
function readV1(line: string): Read {
  const [, family, source = '', destination = '', sourcePort = '', destinationPort = '', ...more] =
    line.split(' ')
  if (family === 'UNKNOWN') return NOBODY
  if (family !== 'TCP4' && family !== 'TCP6') return 'a PROXY line of an unknown family'
  const isAddress = family === 'TCP4' ? isIPv4 : isPlainIPv6
  if (!isAddress(source) || !isAddress(destination) || more.length > 0)
    return 'a PROXY line with a malformed address'
  const [from, to] = [readPort(sourcePort), readPort(destinationPort)]
  if (from === null || to === null) return 'a PROXY line with a malformed port'
  return { client: new Address(spell(source), from), local: new Address(spell(destination), to) }
}

function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%')
}

function readPort(text: string): number | null {
  const port = /^(0|[1-9][0-9]{0,4})$/.test(text) ? Number(text) : Number.NaN
  return port <= 65_535 ? port : null
}

function sizeOfV2(all: Buffer): number | string {
  if (all.length < V2_FIXED_BYTES) return 0
  const size = V2_FIXED_BYTES + all.readUInt16BE(14)
  return size > V2_MAX_BYTES ? `a PROXY header of ${size} bytes, more than ${V2_MAX_BYTES}` : size
}

const LOCAL = 0x20
const PROXY = 0x21
const UNSPEC = 0x00
/** The size of the addresses, by family; we have no use for the families of datagrams. */
const families: ReadonlyMap<number, { addressBytes: number; bytes: number }> = new Map([
  [0x11, { addressBytes: 4, bytes: 12 }],
  [0x21, { addressBytes: 16, bytes: 36 }],
  [0x31, { addressBytes: 108, bytes: 216 }],
])

function readV2(all: Buffer): Read {
  const command = all[12]!
  if (command === LOCAL) return NOBODY
  if (command !== PROXY) return 'a PROXY header of an unknown version or command'
  const family = all[13]!
  const body = all.subarray(V2_FIXED_BYTES)
  const known = families.get(family)
  if (known === undefined) return family === UNSPEC ? NOBODY : 'a PROXY header of an unknown family'
  if (body.length < known.bytes) return 'a PROXY header that is too short for its addresses'
  const problem = checkTlvs(all, V2_FIXED_BYTES + known.bytes)
  if (problem !== null) return problem
  return readAddresses(body, known.addressBytes)
}

function readAddresses(body: Buffer, bytes: number): ProxyHeader {
  if (bytes > 16) return { client: UNIX_CLIENT, local: null }
  const source = ipOf(body.subarray(0, bytes))
  const destination = ipOf(body.subarray(bytes, 2 * bytes))
  return {
    client: new Address(source, body.readUInt16BE(2 * bytes)),
    local: new Address(destination, body.readUInt16BE(2 * bytes + 2)),
  }
}

const CRC32C = 0x03

/** Checks the TLVs (type, length, value) to the very end; a checksum among them must be right. */
function checkTlvs(all: Buffer, start: number): string | null {
  for (let at = start; at < all.length;) {
    const end = at + 3 + (at + 3 <= all.length ? all.readUInt16BE(at + 1) : 0)
    if (at + 3 > all.length || end > all.length) return 'a PROXY header with a malformed TLV'
    if (all[at] === CRC32C && !isChecksumRight(all, at + 3, end))
      return 'a PROXY header with a wrong checksum'
    at = end
  }
  return null
}

/** The sender computed the checksum with zeroes in its place. */
function isChecksumRight(all: Buffer, start: number, end: number): boolean {
  if (end - start !== 4) return false
  const blank = Buffer.from(all)
  blank.fill(0, start, end)
  return crc32c(blank) === all.readUInt32BE(start)
}
