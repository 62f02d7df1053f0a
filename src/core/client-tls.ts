// What a TLS handshake told of a client: words for the log, the admin server, the upstream. No sockets, no keys.

export interface ClientTls {
  /** As OpenSSL names them: `TLSv1.3`, `TLS_AES_256_GCM_SHA384`. */
  version: string
  cipher: string
  /** What the client chose by ALPN; null where it did not. */
  protocol: string | null
  /** SNI: the name that the client asked for. */
  serverName: string | null
  /** The session of an earlier handshake goes on. */
  isResumed: boolean
  /** Shown, and verified against `tls.clientCa`; null where none was asked for. */
  certificate: ClientCertificate | null
}

export interface ClientCertificate {
  /** The distinguished name, by RFC 4514: `CN=known,O=Example`. */
  subject: string
  commonName: string | null
  /** The alternative names, of the kinds that name who somebody is. */
  uris: readonly string[]
  dnsNames: readonly string[]
  emails: readonly string[]
  addresses: readonly string[]
  /** SHA-256 of the certificate, in lower-case hex. */
  fingerprint: string
}
