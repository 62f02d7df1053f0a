// The part of a PROXY header of version 2 about the client's TLS, after the addresses: type, length and value
// of each fact, as HAProxy sends it (doc/proxy-protocol.txt, section 2.2). A reader skips types that it does
// not know.

import type { ClientTls } from '../core/client-tls.ts'
import { NOTHING } from '../core/nothing.ts'

const ALPN = 0x01
const AUTHORITY = 0x02
const SSL = 0x20
const [SSL_VERSION, SSL_COMMON_NAME, SSL_CIPHER] = [0x21, 0x22, 0x23]
/** The client spoke TLS; it sent a certificate on this connection, or at least in this session. */
const [IS_SSL, HAS_SHOWN, HAS_SHOWN_ONCE] = [0x01, 0x02, 0x04]
/** Readers have bounds, and a name that is cut names somebody else: a longer name is left out. */
const MAX_COMMON_NAME_BYTES = 256

export function tlsValues({
  protocol,
  serverName,
  version,
  cipher,
  isResumed,
  certificate,
}: ClientTls): Buffer {
  const flags =
    IS_SSL | (certificate === null ? 0 : HAS_SHOWN_ONCE) | (certificate === null || isResumed ? 0 : HAS_SHOWN)
  const head = Buffer.alloc(5)
  head.writeUInt8(flags, 0)
  // 0: the client sent a certificate, and it was verified.
  head.writeUInt32BE(certificate === null ? 1 : 0, 1)
  const name = Buffer.from(certificate?.commonName ?? '')
  return Buffer.concat([
    protocol === null ? NOTHING : value(ALPN, Buffer.from(protocol, 'latin1')),
    serverName === null ? NOTHING : value(AUTHORITY, Buffer.from(serverName)),
    value(
      SSL,
      Buffer.concat([
        head,
        value(SSL_VERSION, Buffer.from(version)),
        name.length === 0 || name.length > MAX_COMMON_NAME_BYTES ? NOTHING : value(SSL_COMMON_NAME, name),
        value(SSL_CIPHER, Buffer.from(cipher)),
      ]),
    ),
  ])
}

function value(type: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(3)
  head.writeUInt8(type, 0)
  head.writeUInt16BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}
