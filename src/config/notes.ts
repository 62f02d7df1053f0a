// Notes: decisions of an operator that the file leaves open. They are no warnings: the default is right for
// one of two settings, and nothing in the file shows which one it is in. `sidegate check` reports them;
// writing either word ends it. (Of `workers: auto`: a number.)

import type { Path } from './path.ts'
import type { Finding } from './finding.ts'
import type { Config, ListenerConfig } from './schema.ts'

/** `isWritten` tells whether the file has that path. */
export function openQuestions(config: Config, isWritten: (path: Path) => boolean): Finding[] {
  return [...coresOfWhom(config), ...whoseAddress(config, isWritten)]
}

function coresOfWhom({ workers }: Config): Finding[] {
  const message =
    'auto: in a container without a CPU limit, as a sidecar mostly is, that means the cores of the node; ' +
    'write a number there'
  return workers === 'auto' ? [{ path: ['workers'], message }] : []
}

function whoseAddress({ listeners }: Config, isWritten: (path: Path) => boolean): Finding[] {
  return listeners.flatMap((listener, index) => {
    const { protocol, address, proxyProtocol, tls } = listener
    const path = ['listeners', index, 'http', 'trustForwarded']
    // A peer on a unix socket has no address to trust.
    if (protocol !== 'http' || address.kind === 'unix' || proxyProtocol.accept !== 'off' || isWritten(path))
      return []
    const counted = asksForClients(listener) ? ', and limits per client and access do, too' : ''
    const scheme = tls === null ? ', and an application that forces HTTPS redirects for ever' : ''
    const message =
      `not written: behind a proxy such as an ingress the service takes that for its client${counted}${scheme}; ` +
      'write [private] there, or [] where clients come directly'
    return [{ path, message }]
  })
}

/** The address of the client decides about something, or is counted. */
function asksForClients({ access: { allow, deny }, limits }: ListenerConfig): boolean {
  const { connectionsPerClient, newConnections, bytes, messages } = limits
  return (
    allow.length + deny.length > 0 ||
    Number.isFinite(connectionsPerClient.max) ||
    [newConnections, bytes, messages].some(({ perSec, per }) => Number.isFinite(perSec) && per === 'client')
  )
}
