// Networks as an operator writes them: `10.0.0.0/8`, `fd00::/8`, or one address.

import { isIP, isIPv4 } from 'node:net'
import { spell } from '../core/address.ts'
import type { Parsed } from './words.ts'
import { show } from './words.ts'

export interface Cidr {
  address: string
  family: 'ipv4' | 'ipv6'
  /** The number of leading bits that count. */
  prefix: number
}

export const cidrRemedy = 'write a network such as 10.0.0.0/8, or one address'

export function parseCidr(input: unknown): Parsed<Cidr> {
  const no = (why = cidrRemedy): Parsed<Cidr> => ({ problem: `got ${show(input)}, ${why}` })
  if (typeof input !== 'string') return no()
  const match = /^([0-9A-Fa-f:.]+)(?:\/(0|[1-9][0-9]{0,2}))?$/.exec(input)
  if (match === null) return no()
  const address = match[1]!
  const version = isIP(address)
  if (version === 0) return no()
  const bits = version === 4 ? 32 : 128
  const prefix = match[2] === undefined ? bits : Number(match[2])
  if (prefix > bits) return no(`an IPv${version} prefix has at most ${bits} bits`)
  // Peers with mapped addresses are compared as IPv4.
  const spelt = spell(address)
  if (version === 6 && isIPv4(spelt) && prefix >= 96)
    return { value: { address: spelt, family: 'ipv4', prefix: prefix - 96 } }
  return { value: { address, family: version === 4 ? 'ipv4' : 'ipv6', prefix } }
}
