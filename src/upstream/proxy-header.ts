// The PROXY protocol header: names the client to an upstream, as the first bytes of a connection. The
// addresses are those of the connection record; a client without an address (a unix socket) is UNKNOWN, or
// LOCAL in version 2. Version 2 describes the client's TLS too.

import { isIPv4 } from 'node:net'
import { bytesOf } from '../core/address.ts'
import type { Address, ClientAddress } from '../core/address.ts'
import type { ClientTls } from '../core/client-tls.ts'
import type { Connection } from '../core/connection.ts'
import { tlsValues } from './proxy-tls.ts'

export type ProxyVersion = 'v1' | 'v2'

const V2_START = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])
const V1_UNKNOWN = Buffer.from('PROXY UNKNOWN\r\n')
const V2_LOCAL = Buffer.concat([V2_START, Buffer.from([0x20, 0, 0, 0])])

interface End {
  ip: string
  port: number
}

interface Ends {
  client: End
  local: End
  isIPv4: boolean
}

/** The facts about a client that a header carries. */
export type Introduced = Pick<Connection, 'client' | 'localAddress'> & Partial<Pick<Connection, 'tls'>>

export function proxyHeader(version: ProxyVersion, { client, localAddress, tls = null }: Introduced): Buffer {
  const ends = endsOf(client, localAddress)
  if (ends === null) return version === 'v1' ? V1_UNKNOWN : V2_LOCAL
  return version === 'v1' ? headerV1(ends) : headerV2(ends, tls)
}

function endsOf({ ip, port }: ClientAddress, local: Address | null): Ends | null {
  return ip === null || local === null
    ? null
    : {
        client: { ip, port: port ?? 0 },
        local: { ip: local.ip, port: local.port ?? 0 },
        isIPv4: isIPv4(ip) && isIPv4(local.ip),
      }
}

/**
 * Both addresses must be of one family; this is for an IPv6 client that an outer proxy took, on an IPv4
 * address of ours.
 */
function asIPv6(ip: string): string {
  return isIPv4(ip) ? `::ffff:${ip}` : ip
}

function headerV1({ client, local, isIPv4: is4 }: Ends): Buffer {
  const write = is4 ? String : asIPv6
  return Buffer.from(
    `PROXY ${is4 ? 'TCP4' : 'TCP6'} ${write(client.ip)} ${write(local.ip)} ${client.port} ${local.port}\r\n`,
    'latin1',
  )
}

function headerV2({ client, local, isIPv4: is4 }: Ends, tls: ClientTls | null): Buffer {
  const bytes = ({ ip }: End): Buffer => bytesOf(is4 ? ip : asIPv6(ip))
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(client.port, 0)
  ports.writeUInt16BE(local.port, 2)
  const body = Buffer.concat([bytes(client), bytes(local), ports, ...(tls === null ? [] : [tlsValues(tls)])])
  return Buffer.concat([
    V2_START,
    Buffer.from([0x21, is4 ? 0x11 : 0x21, body.length >> 8, body.length & 0xff]),
    body,
  ])
}
