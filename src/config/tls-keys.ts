// The keys of TLS, on both sides.

import type { Key } from './keys.ts'
import { choice, derived, list, section, value } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { parseServerName } from './names.ts'
import { file } from './shapes.ts'
import { parseCiphers, parseProtocol } from './tls-words.ts'

/**
 * Mozilla's intermediate list (Server Side TLS, guidelines 5.7): forward secrecy and authenticated
 * encryption, so neither static RSA nor CBC. Its three DHE suites are left out: they need parameters of
 * finite fields, whose cost a client can make us pay (CVE-2002-20001).
 */
const intermediate = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':')

function alpn(meaning: string): Key<string[]> {
  const name = value<string>(
    {
      type: 'protocol',
      remedy: 'write the name of a protocol such as h2',
      json: fromEnvironment({ type: 'string', pattern: '^[!-~]{1,255}$' }),
      read: parseProtocol,
    },
    { meaning: 'One protocol.' },
  )
  return list(meaning, name, { min: 0, max: 16, remedy: 'write a list of protocols such as [h2, http/1.1]' })
}

export const listenerTls = section('TLS with clients. The files are read again when they change.', {
  cert: file({ meaning: 'The certificate, in PEM, intermediate ones included.' }),
  key: file({ meaning: 'Its private key, in PEM.' }),
  clientCa: derived(
    file({
      derived: 'clients need no certificate',
      meaning: 'Clients must show a certificate that one of these authorities has signed, in PEM.',
    }),
  ),
  minVersion: choice({ default: 'TLSv1.2', meaning: 'The oldest version of TLS that is spoken.' }, [
    'TLSv1.2',
    'TLSv1.3',
  ]),
  ciphers: value<string>(
    {
      type: 'cipher suites',
      remedy: 'write suites as OpenSSL names them, with colons between them',
      json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9_:!+@=. -]+$' }),
      read: parseCiphers,
    },
    {
      default: intermediate,
      meaning:
        "The cipher suites, best first, in OpenSSL's words; those of TLS 1.3 (`TLS_..`) too. The default is Mozilla's intermediate list: no static RSA, no CBC.",
      innocent: 'Clients that know no better: Internet Explorer on Windows 7, Java 8 before update 51.',
    },
  ),
  alpn: alpn(
    'With `protocol: tcp`: what clients may choose from by ALPN, best first; one that wants none of these is refused. What is chosen is offered to an upstream that speaks TLS. Listeners of `protocol: http` offer what they speak.',
  ),
})

/** The keys of TLS towards a server: its certificate is always verified. `sni`: further uses of the name. */
export function serverTls(sni = '') {
  return {
    ca: derived(
      file({
        derived: 'those that Node brings along',
        meaning: 'The authorities that may have signed its certificate, in PEM.',
      }),
    ),
    cert: derived(
      file({
        derived: 'none is shown',
        meaning: 'The certificate that is shown to it, in PEM, intermediate ones included; with `key`.',
      }),
    ),
    key: derived(file({ derived: 'none', meaning: 'The private key of `cert`, in PEM.' })),
    serverName: derived(
      value<string>(
        {
          type: 'name',
          remedy: 'write the name in its certificate',
          json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9._:-]{1,253}$' }),
          read: parseServerName,
        },
        {
          derived: 'the host of the address',
          meaning: `The name that its certificate must have${sni}.`,
        },
      ),
    ),
  }
}

export const upstreamTls = section('TLS to the upstream. Its certificate is always verified.', {
  ...serverTls('; sent to it as SNI'),
  alpn: alpn(
    'With `protocol: tcp`: what is offered to it by ALPN, best first, unless the client has chosen (`tls.alpn`): then that, and nothing else.',
  ),
})
