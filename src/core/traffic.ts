// Traffic totals: the added counts of connections that are gone. Each scrape walks the open ones too, so that
// a transfer of an hour shows while it runs.

import type { PeerSide } from './close.ts'
import type { Connection } from './connection.ts'

/**
 * Bytes that the kernel took for that peer: those handed to its endpoint, minus those that wait or were
 * dropped there. An incomplete message is in `queued` but was not handed over, so it is taken out of the
 * queue first.
 */
export function taken(connection: Connection, side: PeerSide): number {
  const flow = side === 'client' ? connection.toClient : connection.toUpstream
  const { owner } = connection
  const waiting = (owner?.queued(side) ?? 0) - (owner?.assembling?.(side) ?? 0)
  return Math.max(0, flow.sent - waiting)
}

/** Plain fields: adding to one costs a nanosecond or two, to a prom-client counter a hundred times that. */
export class Traffic {
  receivedFromClient = 0
  receivedFromUpstream = 0
  takenByClient = 0
  takenByUpstream = 0
  messagesToUpstream = 0
  messagesToClient = 0
  pausesToUpstream = 0
  pausesToClient = 0

  add(connection: Connection): void {
    const { toUpstream, toClient, protocol, session } = connection
    // A client's bytes are counted once, on its connection and not again on the streams; an upstream's only
    // on the streams.
    if (session === null) {
      this.receivedFromClient += toUpstream.received
      this.takenByClient += taken(connection, 'client')
    }
    if (protocol !== 'h2') {
      this.receivedFromUpstream += toClient.received
      this.takenByUpstream += taken(connection, 'upstream')
    }
    this.messagesToUpstream += toUpstream.messages
    this.messagesToClient += toClient.messages
    this.pausesToUpstream += toUpstream.pauses
    this.pausesToClient += toClient.pauses
  }

  copy(): Traffic {
    return Object.assign(new Traffic(), this)
  }
}
