// Kinds of value that several sections have: addresses, networks, files.

import type { Address, AddressUse } from './address.ts'
import { addressRemedy, parseAddress } from './address.ts'
import { cidrRemedy, parseCidr } from './cidr.ts'
import type { Cidr } from './cidr.ts'
import type { About, Key } from './keys.ts'
import { list, value } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { parseFile } from './names.ts'

export function address(use: AddressUse, about: About): Key<Address> {
  const host = String.raw`(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)`
  const pattern = `^(${use === 'listen' ? `${host}?` : host}:[0-9]{1,5}|unix:/.+)$`
  return value(
    {
      type: 'address',
      remedy: addressRemedy(use),
      json: fromEnvironment({ type: 'string', pattern }),
      read: (input) => parseAddress(input, use),
    },
    about,
  )
}

function cidr(about: About): Key<Cidr> {
  const pattern = String.raw`^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`
  return value(
    {
      type: 'network',
      remedy: cidrRemedy,
      json: fromEnvironment({ type: 'string', pattern }),
      read: parseCidr,
    },
    about,
  )
}

export function cidrs(meaning: string): Key<Cidr[]> {
  return list(meaning, cidr({ meaning: 'One network.' }), {
    min: 0,
    max: 1000,
    remedy: 'write a list of networks such as [10.0.0.0/8]',
  })
}

/**
 * A file in PEM. Without a default it is required; where it may be left out, `about` says what happens then.
 */
export function file(about: About): Key<string> {
  return value<string>(
    {
      type: 'file',
      remedy: 'write the path of a file',
      json: fromEnvironment({ type: 'string', pattern: String.raw`^[^\0]+$` }),
      read: parseFile,
    },
    about,
  )
}
