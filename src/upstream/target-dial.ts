// Dials to a target outside a pair: those of the pool for plain HTTP, and probes.

import { UNIX_CLIENT } from '../core/address.ts'
import type { Live } from '../core/live.ts'
import { Dial, hostOf as hostOfTarget } from './dial.ts'
import type { DialContext, DialOptions, SecureOptions, SocketDialler } from './dial.ts'
import { proxyHeader } from './proxy-header.ts'
import type { ProxyVersion } from './proxy-header.ts'
import type { UpstreamTarget } from './target.ts'

export interface TargetDialOptions {
  deadlines: Live<{ connectMs: number }>
  noDelay: boolean
  secure: SecureOptions | null
  proxyProtocol: ProxyVersion | null
}

const NOBODY = { client: UNIX_CLIENT, localAddress: null }

function dialOptionsOf(
  options: TargetDialOptions,
  { address, from }: UpstreamTarget,
): Omit<DialOptions, 'connectMs'> {
  const { noDelay, secure } = options
  return {
    target: address,
    from,
    read: null,
    noDelay,
    secure,
  }
}

/** A probe takes the way that connections take: a PROXY header, which names no client, and TLS. */
export function dialProbe(
  options: TargetDialOptions,
  target: UpstreamTarget,
  context: DialContext,
  dialler: SocketDialler,
): Dial {
  const { deadlines, proxyProtocol } = options
  return new Dial(
    { ...dialOptionsOf(options, target), connectMs: deadlines.current.connectMs },
    context,
    dialler,
    proxyProtocol === null ? null : proxyHeader(proxyProtocol, NOBODY),
  )
}

/** A dial for a connection that carries requests of many clients. */
export function dialKept(
  options: TargetDialOptions,
  target: UpstreamTarget,
  { dialler, connectMs }: { dialler: SocketDialler; connectMs: number },
  context: DialContext,
): Dial {
  return new Dial({ ...dialOptionsOf(options, target), connectMs }, context, dialler)
}

/** The Host as a client of the service would write it: the name of the service where it has one. */
export function hostOf({ address, from }: UpstreamTarget): string {
  return hostOfTarget(from === null || 'path' in address ? address : { host: from, port: address.port })
}
