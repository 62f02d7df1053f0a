// What a finished handshake tells of the client. Nothing in a certificate is believed because of how it is written: an authority that
// signs names may sign odd ones, and they end in heads and log lines of others.

import type { X509Certificate } from 'node:crypto'
import type tls from 'node:tls'
import type { ClientCertificate, ClientTls } from '../core/client-tls.ts'

/** Of one kind: a certificate for hundreds of hosts is a server's, and a head that holds them all is refused by services. */
const MAX_NAMES = 32
const MAX_NAME_CHARS = 1024

export function describeTls(socket: tls.TLSSocket): ClientTls {
  const { alpnProtocol } = socket
  // Its type does not know that a server has it, and what Node says of a client that sent none.
  const { servername } = socket as { servername?: string | false | null }
  // A server that asks for no certificate is shown none.
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
  // One line for each part, in the order in which they are encoded; values are escaped, line feeds too.
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

/** `DNS:a, URI:"with, comma"`: since CVE-2021-44532 Node writes what could be misread as a string of JSON. */
function namesOf(text: string): Array<[kind: string, value: string]> {
  return [...text.matchAll(/(?:^|, )([A-Za-z][A-Za-z ]*):("(?:[^"\\]|\\.)*"|[^,]*)/g)].map(
    ([, kind, value]) => [kind!, value!.startsWith('"') ? (JSON.parse(value!) as string) : value!],
  )
}

/** Names are of ASCII that can be seen; what else an authority has signed names nobody. */
function ofKind(names: ReadonlyArray<[kind: string, value: string]>, wanted: string): string[] {
  const good = ([kind, value]: [string, string]): boolean =>
    kind === wanted && value.length <= MAX_NAME_CHARS && /^[!-~]+$/.test(value)
  return names
    .filter(good)
    .slice(0, MAX_NAMES)
    .map(([, value]) => value)
}

/** RFC 4514 section 2.4: `\2C` is a byte, a backslash before anything else that thing. */
function unescaped(value: string): string {
  return value
    .replaceAll(/(?:\\[0-9A-Fa-f]{2})+/g, (bytes) =>
      Buffer.from(bytes.replaceAll('\\', ''), 'hex').toString(),
    )
    .replaceAll(/\\(.)/g, '$1')
}
