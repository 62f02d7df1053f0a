// The alert for a client whose certificate is refused (RFC 8446 section 6.2). OpenSSL sends an alert for each
// handshake that it fails itself, a missing certificate among them; but Node lets it accept a wrong
// certificate, judges it afterwards, and hangs up without a word. So we make this alert: with TLS 1.3 from
// the secret that encrypts what the server sends, which Node reports (`keylog`). With TLS 1.2 we cannot have
// the keys, and the client gets a close_notify.
//
// The secret is kept from the handshake to its judgement, for listeners that ask for certificates, and for
// nothing else.

import type tls from 'node:tls'
import { nodeCrypto } from '../core/late.ts'

/** OpenSSL's mapping (ssl_x509err2alert); any other problem is certificate_unknown. */
const alerts: Readonly<Record<string, number>> = {
  CERT_NOT_YET_VALID: 42,
  CERT_REJECTED: 42,
  CERT_UNTRUSTED: 42,
  INVALID_PURPOSE: 43,
  CERT_REVOKED: 44,
  CERT_HAS_EXPIRED: 45,
  CERT_CHAIN_TOO_LONG: 48,
  DEPTH_ZERO_SELF_SIGNED_CERT: 48,
  INVALID_CA: 48,
  PATH_LENGTH_EXCEEDED: 48,
  SELF_SIGNED_CERT_IN_CHAIN: 48,
  UNABLE_TO_GET_ISSUER_CERT: 48,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 48,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 48,
  CERT_SIGNATURE_FAILURE: 51,
}
const CERTIFICATE_UNKNOWN = 46

const suites: Readonly<
  Record<
    string,
    { hash: string; cipher: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305'; keyBytes: number }
  >
> = {
  TLS_AES_128_GCM_SHA256: { hash: 'sha256', cipher: 'aes-128-gcm', keyBytes: 16 },
  TLS_AES_256_GCM_SHA384: { hash: 'sha384', cipher: 'aes-256-gcm', keyBytes: 32 },
  TLS_CHACHA20_POLY1305_SHA256: { hash: 'sha256', cipher: 'chacha20-poly1305', keyBytes: 32 },
}

/**
 * The call that Node's own server makes. Undocumented: where it is gone, that server refuses as ever, without
 * an alert.
 */
interface Judging extends tls.TLSSocket {
  _handle?: { verifyError?(): (Error & { code?: string }) | null }
}

/**
 * OpenSSL's word for the problem with a client's certificate; null if there is none. In a resumed session
 * OpenSSL repeats its verdict of that session's beginning, so a certificate that has expired since is judged
 * here.
 */
export function certificateProblem(socket: tls.TLSSocket, wallMs: number): string | null {
  const problem = (socket as Judging)._handle?.verifyError?.()?.code ?? null
  if (problem !== null || !socket.isSessionReused()) return problem
  const certificate = socket.getPeerX509Certificate()
  return certificate !== undefined && certificate.validToDate.getTime() < wallMs ? 'CERT_HAS_EXPIRED' : null
}

/** The secret in a line of `keylog`, if it is the one that we need. */
export function serverSecretOf(line: Buffer): Buffer | null {
  const match = /^SERVER_TRAFFIC_SECRET_0 [0-9a-f]+ ([0-9a-f]+)\s*$/.exec(line.toString('latin1'))
  return match === null ? null : Buffer.from(match[1]!, 'hex')
}

/**
 * The alert record for a client whose handshake is just over; null where we cannot make one. `problem` is
 * OpenSSL's word.
 */
export function alertRecord(socket: tls.TLSSocket, secret: Buffer | null, problem: string): Buffer | null {
  const suite = suites[socket.getCipher().name]
  if (secret === null || suite === undefined) return null
  const [key, nonce] = [
    expand(suite.hash, secret, 'key', suite.keyBytes),
    expand(suite.hash, secret, 'iv', 12),
  ]
  // The records sent before this one: OpenSSL's session tickets, two after a full handshake and none after a
  // resumed one.
  nonce[11]! ^= socket.isSessionReused() ? 0 : 2
  // Fatal, the alert, and the type of the inner record.
  const plain = Buffer.from([2, alerts[problem] ?? CERTIFICATE_UNKNOWN, 21])
  const head = Buffer.from([23, 3, 3, 0, plain.length + 16])
  const cipher = nodeCrypto().createCipheriv(suite.cipher as 'aes-128-gcm', key, nonce, { authTagLength: 16 })
  cipher.setAAD(head)
  return Buffer.concat([head, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

/** HKDF-Expand-Label (RFC 8446 section 7.1), for at most one block. */
function expand(hash: string, secret: Buffer, name: string, bytes: number): Buffer {
  const label = Buffer.from(`tls13 ${name}`)
  const info = Buffer.concat([Buffer.from([0, bytes, label.length]), label, Buffer.from([0, 1])])
  return nodeCrypto().createHmac(hash, secret).update(info).digest().subarray(0, bytes)
}
