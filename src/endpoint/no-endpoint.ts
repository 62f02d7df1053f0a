// The upstream end of a pair that has none at the moment: between two requests, and during a dial. Nothing
// can be sent there, and nothing comes; it looks like a closed endpoint.

import type { Endpoint, EndpointOwner, LookedAt } from './endpoint.ts'

/** The view of an endpoint that is no socket: the system shows nothing of it. */
export const UNKNOWN: LookedAt = { unacknowledged: 0, unread: 0, looks: Number.POSITIVE_INFINITY }

class NoEndpoint implements Endpoint {
  readonly side = 'upstream'
  readonly queued = 0
  readonly unacked = 0
  readonly isClosed = true
  readonly measurements = Number.POSITIVE_INFINITY

  /** All pairs share it: it reports to nobody. */
  set owner(_owner: EndpointOwner) {}

  measure(): void {}

  look(): LookedAt {
    return UNKNOWN
  }

  write(): void {}
  cork(): void {}
  uncork(): void {}
  pause(): void {}
  resume(): void {}
  keepAlive(): void {}
  end(): void {}
  conclude(): void {}
  close(): void {}
}

export const noUpstream: Endpoint = new NoEndpoint()
