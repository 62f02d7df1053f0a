// The listeners of the configuration in effect as operators see them: in its order, whichever workers have
// them, and with their bound ports.

import type { ListenerView } from '../admin/types.ts'
import { formatAddress } from '../config/address.ts'
import type { Address } from '../config/address.ts'
import type { Config } from '../config/schema.ts'
import type { Ports } from '../gate/messages.ts'
import { Whole } from '../log/line.ts'

export function listenerViews({ listeners }: Config, ports: Ports): ListenerView[] {
  return listeners.map(({ name, address, protocol, upstream }, index) => ({
    name,
    address: formatAddress(bound(address, ports[index] ?? null)),
    protocol,
    upstream: upstream.addresses.map(formatAddress).join(','),
  }))
}

/** Every listener with its address, for the log line of the start. */
export function listenersOf(views: readonly ListenerView[]): Whole {
  return new Whole(views.map(({ name, address }) => `${name} ${address}`).join(', '))
}

function bound(address: Address, port: number | null): Address {
  return address.kind === 'unix' || port === null ? address : { ...address, port }
}
