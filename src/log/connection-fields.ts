// The keys of the "connection closed" line. They are an interface: dashboards and alerts of others parse them, so keys
// are added, never renamed.
//
//     id              number, unique in this process
//     listener        its name
//     protocol        tcp | http | websocket
//     client          ip:port
//     upstream        host:port, null if none was dialled
//     close           the reason, as in `sidegate explain`
//     side            who caused it: client | upstream | sidegate
//     phase           admit | handshake | connect | relay | close
//     detail          an errno or a parser's words; absent if there is none
//     durationMs      from the accept to the end
//     connectMs       from the accept until the upstream side stood; absent if it never did
//     bytesToUpstream, bytesToClient        read from the side that sends in that direction
//     sentToUpstream, sentToClient          taken by the kernel for the side that receives, pings of ours included
//     messagesToUpstream, messagesToClient  whole WebSocket messages; 0 for the others
//     pausesToUpstream, pausesToClient      how often the sender was paused because the receiver did not keep up

import type { Connection } from '../core/connection.ts'
import { taken } from '../core/traffic.ts'
import type { LogFields } from './line.ts'

export function connectionFields(connection: Connection, now: number): LogFields {
  const { end, toUpstream, toClient } = connection
  return {
    id: connection.id,
    listener: connection.listener,
    protocol: connection.protocol,
    client: connection.clientAddress,
    upstream: connection.upstreamAddress,
    close: end?.reason ?? null,
    side: end?.side ?? null,
    phase: end?.phase ?? connection.phase,
    detail: end?.detail,
    durationMs: Math.round(now - connection.openedAt),
    connectMs: connection.connectedAt === null ? undefined : Math.round(connection.connectedAt - connection.openedAt),
    bytesToUpstream: toUpstream.received,
    bytesToClient: toClient.received,
    sentToUpstream: taken(connection, 'upstream'),
    sentToClient: taken(connection, 'client'),
    messagesToUpstream: toUpstream.messages,
    messagesToClient: toClient.messages,
    pausesToUpstream: toUpstream.pauses,
    pausesToClient: toClient.pauses,
  }
}
