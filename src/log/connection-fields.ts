// The keys of the "connection closed" line. They are an interface: dashboards and alerts of others parse
// them, so keys are added, never renamed.
//
//     id              number, unique in this process
//     listener        its name
//     protocol        tcp | http | websocket | h2
//     session         for a stream of HTTP/2, the id of its connection; else absent
//     client          ip:port; the client's own address
//     peer            ip:port of the trusted peer that named the client; absent where client and peer are the same
//     upstream        host:port, null if none was dialled
//     alpn            the client's choice by ALPN; this and the next three are absent where there is none
//     clientSubject, clientNames, clientFingerprint    of the client's certificate (tls.clientCa), SHA-256
//     close           the reason, as in `sidegate explain`
//     side            the side that caused it: client | upstream | sidegate
//     phase           admit | handshake | connect | relay | close
//     detail          an errno or a parser's words; absent if there is none
//     cut             true where we ended it while bytes or an answer were owed to it; else absent
//     closedFirst     the side that sent the first Close frame of a WebSocket: client | upstream | sidegate;
//                     absent, like the next two, where no peer sent one
//     clientCode, upstreamCode              the code in the Close frame of that peer, 1005 for none in it
//     durationMs      from the accept to the end
//     connectMs       from the accept until the upstream side was connected; absent if it never was
//     bytesToUpstream, bytesToClient        read from the side that sends in that direction
//     sentToUpstream, sentToClient          taken by the kernel for the side that receives, pings of ours included
//     messagesToUpstream, messagesToClient  complete WebSocket messages; 0 for the others
//     timeline        with log.timeline, where the end is not eof:
//                     `3ms connected 127.0.0.1:8080; 5012ms stalled client`
//     pausesToUpstream, pausesToClient      how often the sender was paused because the receiver did not keep up

import type { Close } from '../core/close.ts'
import type { ClientCertificate, ClientTls } from '../core/client-tls.ts'
import type { Connection } from '../core/connection.ts'
import { taken } from '../core/traffic.ts'
import type { LogFields } from './line.ts'

export function connectionFields(connection: Connection, now: number): LogFields {
  const { end, closing, toUpstream, toClient } = connection
  return {
    id: connection.id,
    listener: connection.listener,
    protocol: connection.protocol,
    session: connection.session?.id,
    ...clientFields(connection),
    upstream: connection.upstreamAddress,
    ...tlsFields(connection.tls),
    close: end?.reason ?? null,
    side: end?.side ?? null,
    phase: end?.phase ?? connection.phase,
    detail: end?.detail,
    cut: connection.isCut || undefined,
    closedFirst: closing?.first,
    clientCode: closing?.client ?? undefined,
    upstreamCode: closing?.upstream ?? undefined,
    durationMs: Math.round(now - connection.openedAt),
    connectMs:
      connection.connectedAt === null ? undefined : Math.round(connection.connectedAt - connection.openedAt),
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

interface EndedRequest {
  method: string
  target: string
  status: number | null
  durationMs: number
  /** Null after the whole answer of the service. */
  end: Close | null
}

export function requestFields(
  connection: Connection,
  { method, target, status, durationMs, end }: EndedRequest,
): LogFields {
  const { id, listener } = connection
  const why = end === null ? {} : { close: end.reason, side: end.side }
  const path = pathOf(target)
  return { id, listener, ...clientFields(connection), method, path, status, durationMs, ...why }
}

// A target without a slash in front has an authority, in which a client may name a user and a password.
const userInformation = /^([a-z][a-z\d+.-]*:\/\/)?[^/?#]*@/i

/** Without what may be a secret: the query, a fragment, user information. */
function pathOf(target: string): string {
  return target.replace(userInformation, '$1').split(/[?#]/, 1)[0]!
}

/** The client; and the peer, where that is a different address. */
function clientFields({ client, peer }: Connection): LogFields {
  return { client: client.text, peer: client === peer ? undefined : peer.text }
}

function tlsFields(tls: ClientTls | null): LogFields {
  if (tls === null) return {}
  const { protocol, certificate } = tls
  return { alpn: protocol ?? undefined, ...(certificate === null ? {} : certificateFields(certificate)) }
}

function certificateFields({
  subject,
  uris,
  dnsNames,
  emails,
  addresses,
  fingerprint,
}: ClientCertificate): LogFields {
  const names = [...uris, ...dnsNames, ...emails, ...addresses].join(', ')
  return {
    clientSubject: subject,
    clientNames: names === '' ? undefined : names,
    clientFingerprint: fingerprint,
  }
}
