// The facts of a client's TLS handshake: words for the log, the admin server, the upstream. No sockets, no
// keys.

export interface ClientTls {
  /** In OpenSSL's names: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`. */
  version: string
  cipher: string
  /** The protocol agreed by ALPN; null where there was no ALPN. */
  protocol: string | null
  /** SNI: the name that the client asked for. */
  serverName: string | null
  /** The handshake resumed an earlier session. */
  isResumed: boolean
  /** The client's certificate, verified against `tls.clientCa`; null where the listener asked for none. */
  certificate: ClientCertificate | null
}

export interface ClientCertificate {
  /** The distinguished name, by RFC 4514: `CN=known,O=Example`. */
  subject: string
  commonName: string | null
  /** The alternative names of the kinds that identify somebody. */
  uris: readonly string[]
  dnsNames: readonly string[]
  emails: readonly string[]
  addresses: readonly string[]
  /** SHA-256 of the certificate, in lower-case hex. */
  fingerprint: string
}
