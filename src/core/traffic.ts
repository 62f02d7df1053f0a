// What went through, added up: the counts of connections that are gone. Those that are still open are walked at each
// scrape, so that a transfer of an hour shows while it runs.

import type { PeerSide } from './close.ts'
import type { Connection } from './connection.ts'

/**
 * Bytes that the kernel took for that peer: handed to its endpoint, less what waits there or was dropped there. A message that
 * is not whole was not handed over, but it is held: it is in `queued`.
 */
export function taken(connection: Connection, side: PeerSide): number {
  const flow = side === 'client' ? connection.toClient : connection.toUpstream
  const { owner } = connection
  const waiting = (owner?.queued(side) ?? 0) - (owner?.assembling?.(side) ?? 0)
  return Math.max(0, flow.sent - waiting)
}

/** Plain fields: adding to them costs a nanosecond or two, a prom-client counter a hundred times that. */
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
    // What a client sends and takes is counted of the connection, not of its streams again; a service knows streams alone.
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
