// The header that describes a client's certificate to the upstream: X-Forwarded-Client-Cert, in the form of
// Envoy. Commas separate elements and semicolons their keys, so a name that an authority signed must not look
// like either.

import type { ClientCertificate } from '../core/client-tls.ts'

export const CERTIFICATE_HEADER = 'X-Forwarded-Client-Cert'

/** One element: `Hash=..;Subject="CN=known,O=Example";URI=spiffe://a/b;DNS=known.example`. */
export function certificateElement({ fingerprint, subject, uris, dnsNames }: ClientCertificate): string {
  const names = [
    ...uris.map((name) => `URI=${quoted(name)}`),
    ...dnsNames.map((name) => `DNS=${quoted(name)}`),
  ]
  return [`Hash=${fingerprint}`, `Subject="${ascii(subject)}"`, ...names].join(';')
}

function quoted(name: string): string {
  return /[,;="\\]/.test(name) ? `"${name.replaceAll(/["\\]/g, '\\$&')}"` : name
}

/** A distinguished name escapes quotes and control characters itself (RFC 4514); a head has only ASCII. */
function ascii(subject: string): string {
  return subject.replaceAll(/[^ -~]+/g, (text) =>
    [...Buffer.from(text)].map((byte) => `\\${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}
