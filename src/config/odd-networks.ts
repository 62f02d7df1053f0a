// Networks whose address has bits behind its prefix: `10.0.0.1/8` is 10.0.0.0/8, where `10.0.0.1` was perhaps
// meant.

import { bytesOf, ipOf } from '../core/address.ts'
import type { Cidr } from './cidr.ts'
import type { Path } from './path.ts'
import type { Finding } from './finding.ts'
import type { ListenerConfig } from './schema.ts'

/** `path` leads to the listener. */
export function oddNetworks({ access, proxyProtocol, http }: ListenerConfig, path: Path): Finding[] {
  const lists: Array<[Path, ListenerConfig['http']['trustForwarded']]> = [
    [['access', 'allow'], access.allow],
    [['access', 'deny'], access.deny],
    [['proxyProtocol', 'trusted'], proxyProtocol.trusted],
    [['http', 'trustForwarded'], http.trustForwarded],
  ]
  return lists.flatMap(([key, networks]) =>
    networks.flatMap((one, index) => {
      const message = one === 'private' ? null : meant(one)
      return message === null ? [] : [{ path: [...path, ...key, index], message }]
    }),
  )
}

function meant({ address, prefix }: Cidr): string | null {
  const bytes = bytesOf(address)
  const network = Buffer.from(bytes)
  for (let at = 0; at < network.length; at++)
    network[at]! &= 0xff << Math.min(8, Math.max(0, 8 * (at + 1) - prefix))
  return network.equals(bytes)
    ? null
    : `${address}/${prefix} is the network ${ipOf(network)}/${prefix}: write that, or ${address} for one address`
}
