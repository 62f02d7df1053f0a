// The client of a request from a trusted proxy (`http.trustForwarded`), by `X-Forwarded-For` or `Forwarded`.
//
// Each proxy appends the address of its own client to the list, so from its end back to the first address
// that is not a trusted proxy's the list is true. That address is the client's; the addresses before it are
// the client's own claim. An unreadable element ends the list as well.
//
//     X-Forwarded-For: 192.0.2.9, 203.0.113.7, 10.0.0.3      from the peer 10.0.0.4, where 10.0.0.0/8 is trusted
//                      its claim  the client   a proxy

import { isIP } from 'node:net'
import { Address, spell } from '../core/address.ts'
import type { ClientAddress } from '../core/address.ts'
import type { Fields } from './fields.ts'
import type { ForwardingOptions } from './forwarding.ts'
import { FORWARDED, FORWARDED_FOR } from './header-name.ts'

/** How many elements are read, from the end: each step looks an address up. */
const MAX_PROXIES = 16

const withPort = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?$/
/**
 * RFC 7239 section 4: an element of `Forwarded` consists of pairs; the value of each is a token or a quoted
 * string.
 */
const forPair = /(?:^|;)[ \t]*for=(?:"([^"\\]*)"|([^";,\s]*))[ \t]*(?:;|$)/i

/**
 * One proxy seldom writes both headers: a proxy that writes one may pass on the other as its client wrote it.
 * The header of `form` counts.
 */
export function namedClient(
  headers: Fields,
  peer: ClientAddress,
  { form, isTrusted }: Pick<ForwardingOptions, 'form' | 'isTrusted'>,
): ClientAddress {
  const isStandard = form === 'rfc7239'
  const list = listOf(headers, isStandard) ?? listOf(headers, !isStandard)
  if (list === null) return peer
  let client = peer
  let end = list.text.length
  for (let nth = 0; nth < MAX_PROXIES && end >= 0; nth++) {
    const start = list.text.lastIndexOf(',', end - 1)
    const element = list.text.slice(start + 1, end).trim()
    end = start
    if (element === '') continue
    const address = list.isStandard ? nodeOf(element) : readAddress(element)
    if (address === null) break
    client = address
    if (!isTrusted(address.ip)) break
  }
  return client
}

interface List {
  text: string
  isStandard: boolean
}

function listOf(headers: Fields, isStandard: boolean): List | null {
  const values = headers.values(isStandard ? FORWARDED : FORWARDED_FOR)
  return values.length === 0
    ? null
    : { text: values.length === 1 ? values[0]! : values.join(','), isStandard }
}

/** A comma in a quoted string leaves a malformed element. `unknown` and obfuscated names are no addresses. */
function nodeOf(element: string): Address | null {
  const match = forPair.exec(element)
  return match === null ? null : readAddress(match[1] ?? match[2]!)
}

function readAddress(text: string): Address | null {
  if (isIP(text) !== 0 && !text.includes('%')) return new Address(spell(text), null)
  const match = withPort.exec(text)
  const ip = match?.[1] ?? match?.[2]
  if (match === null || ip === undefined || isIP(ip) === 0) return null
  const port = match[3] === undefined ? null : Number(match[3])
  return port !== null && port > 65_535 ? null : new Address(spell(ip), port)
}
