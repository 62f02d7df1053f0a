// The facts of a finished handshake about the client. Nothing in a certificate is believed because of how it
// is written: an authority that signs names may sign odd ones, and they end up in heads and log lines of
// others.

import type { X509Certificate } from 'node:crypto'
import type tls from 'node:tls'
import type { ClientCertificate, ClientTls } from '../core/client-tls.ts'

/**
 * The most names of one kind: a certificate for hundreds of hosts is a server's, and services refuse a head
 * that holds them all.
 */
const MAX_NAMES = 32
const MAX_NAME_CHARS = 1024

export function describeTls(socket: tls.TLSSocket): ClientTls {
  const { alpnProtocol } = socket
  // The type lacks this property of a server's socket, and Node's value for a client that sent no SNI.
  const { servername } = socket as { servername?: string | false | null }
  // A server that asks for no certificate gets none.
  const certificate = socket.authorized ? socket.getPeerX509Certificate() : undefined
  return {
    version: socket.getProtocol() ?? 'unknown',
    cipher: socket.getCipher().name,
    protocol: typeof alpnProtocol === 'string' ? alpnProtocol : null,
    serverName: typeof servername === 'string' && servername !== '' ? servername : null,
    isResumed: socket.isSessionReused(),
    certificate: certificate === undefined ? null : describeCertificate(certificate),
  }
}

export function describeCertificate({
  subject,
  subjectAltName,
  fingerprint256,
}: X509Certificate): ClientCertificate {
  // One line for each part, in the order of their encoding; Node escapes the values, line feeds too.
  const parts = (subject ?? '').split('\n').filter((part) => part !== '')
  const common = parts.find((part) => part.startsWith('CN='))
  const names = namesOf(subjectAltName ?? '')
  return {
    subject: parts
      .map((part) => part.replaceAll(' + ', '+'))
      .toReversed()
      .join(','),
    commonName: common === undefined ? null : unescaped(common.slice(3).split(' + ')[0]!),
    uris: ofKind(names, 'URI'),
    dnsNames: ofKind(names, 'DNS'),
    emails: ofKind(names, 'email'),
    addresses: ofKind(names, 'IP Address'),
    fingerprint: fingerprint256.replaceAll(':', '').toLowerCase(),
  }
}

/**
 * `DNS:a, URI:"with, comma"`: since CVE-2021-44532 Node writes a value that could be misread as a JSON
 * string.
 */
function namesOf(text: string): Array<[kind: string, value: string]> {
  return [...text.matchAll(/(?:^|, )([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^,]*)/g)].map(
    ([, kind, value]) => [kind!, value!.startsWith('"') ? (JSON.parse(value!) as string) : value!],
  )
}

/** A name is visible ASCII; anything else that an authority has signed names nobody. */
function ofKind(names: ReadonlyArray<[kind: string, value: string]>, wanted: string): string[] {
  const good = ([kind, value]: [string, string]): boolean =>
    kind === wanted && value.length <= MAX_NAME_CHARS && /^[!-~]+$/.test(value)
  return names
    .filter(good)
    .slice(0, MAX_NAMES)
    .map(([, value]) => value)
}

/** RFC 4514 section 2.4: `\2C` is a byte; a backslash before another character stands for that character. */
function unescaped(value: string): string {
  return value
    .replaceAll(/(?:\\[0-9A-Fa-f]{2})+/g, (bytes) =>
      Buffer.from(bytes.replaceAll('\\', ''), 'hex').toString(),
    )
    .replaceAll(/\\(.)/g, '$1')
}
