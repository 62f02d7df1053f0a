// What we tell the upstream of the client, and the client of us: X-Forwarded-*, Forwarded, Via.
//
// An upstream believes these headers, so a client must not be able to write them: from an untrusted peer they are replaced,
// from a trusted one (`http.trustForwarded`) appended to. Twins that only differ in what stands for a dash are dropped:
// CGI-like servers fold X_Forwarded_For and X-Forwarded-For into one name (CVE-2025-64484 is one of many).

import { Address } from '../core/address.ts'
import type { Connection } from '../core/connection.ts'
import { CERTIFICATE_HEADER, certificateElement } from './client-certificate.ts'
import { endToEndHeaders } from './head.ts'
import type { Header } from './head.ts'

/** How a listener tells of its clients. */
export interface ForwardingOptions {
  form: 'x-forwarded' | 'rfc7239' | 'both' | 'off'
  hasVia: boolean
  /** Whether a peer at this address may say who its client is. */
  isTrusted: (address: string) => boolean
  /** Clients speak TLS. */
  isSecure: boolean
  /** The upstream is told of the certificates that clients have shown. */
  forwardsCertificate: boolean
}

/** What is known of the client of a request, and how it is told. */
export interface Forwarded {
  /** The peer's address without port; IPv6 without brackets; null where it has none (a unix socket). */
  address: string | null
  proto: 'http' | 'https'
  isTrusted: boolean
  /** The certificate that the client has shown, as a header says it; absent where nothing is to be said (`http.clientCertificate: off`). */
  certificate?: string
  form: ForwardingOptions['form']
  hasVia: boolean
}

const VIA = '1.1 sidegate'
/** Headers by which proxies name a client. From an untrusted peer all of them go. */
const ours = /^(forwarded|x-real-ip|x-forwarded-.*)$/
/** Names that are read in one way only: a twin of one would be a second. */
const twinless = /^(forwarded|x-real-ip|x-forwarded-.*|content-length|transfer-encoding|proxy-.*|sec-websocket-.*)$/
/** Beside those: what would say after the body what a reader must know before it (RFC 9110 section 6.5.1). */
const notInTrailers = /^(host|content-.*|authorization|cookie|set-cookie|via|origin|expect|range|age|date|location|max-forwards|cache-control|if-.*)$/

/** What the record of a connection says of its client (`ip:port`, `[ip]:port`, or `unix`). */
export function forwardedFor({ clientAddress, tls }: Pick<Connection, 'clientAddress' | 'tls'>, { form, hasVia, isTrusted, isSecure, forwardsCertificate }: ForwardingOptions): Forwarded {
  const address = Address.parse(clientAddress)?.ip ?? null
  const certificate = tls?.certificate ?? null
  return {
    address,
    proto: isSecure ? 'https' : 'http',
    form,
    hasVia,
    isTrusted: address !== null && isTrusted(address),
    ...(forwardsCertificate && certificate !== null ? { certificate: certificateElement(certificate) } : {}),
  }
}

/** The headers for the upstream; `headers` are end to end already (hop-by-hop ones are gone). */
export function forwardHeaders(headers: readonly Header[], client: Forwarded): Header[] {
  const kept: Header[] = []
  const before = { for: '', forwarded: '', via: '', proto: '', host: '', certificate: '' }
  let host = ''
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i]!
    const name = header[0].toLowerCase()
    if (isTwin(name)) continue
    if (name === 'host') host = header[1]
    if (client.hasVia && name === 'via') before.via = join(before.via, header[1])
    else if (!ours.test(name)) kept.push(header)
    else if (client.isTrusted && client.certificate !== undefined && name === 'x-forwarded-client-cert') before.certificate = join(before.certificate, header[1])
    else if (client.isTrusted) collect(before, name, header, kept)
  }
  tell(kept, before, client, host)
  if (client.certificate !== undefined) kept.push([CERTIFICATE_HEADER, join(before.certificate, client.certificate)])
  if (client.hasVia) kept.push(['Via', join(before.via, VIA)])
  return kept
}

interface Before {
  for: string
  forwarded: string
  proto: string
  host: string
}

/** A trusted proxy's words are added to in the form that they have: the other one, of ours alone, would contradict them. */
function tell(kept: Header[], before: Before, client: Forwarded, host: string): void {
  const { form } = client
  const saidX = before.for !== '' || before.proto !== '' || before.host !== ''
  const said = saidX || before.forwarded !== ''
  if (form === 'off') return passOn(kept, before)
  if (said ? saidX : form !== 'rfc7239') {
    kept.push(['X-Forwarded-For', join(before.for, client.address ?? 'unknown')], ['X-Forwarded-Proto', before.proto || client.proto])
    if (before.host || host) kept.push(['X-Forwarded-Host', before.host || host])
  }
  if (said ? before.forwarded !== '' : form !== 'x-forwarded') kept.push(['Forwarded', join(before.forwarded, element(client, host))])
}

function passOn(kept: Header[], before: Before): void {
  const all: Header[] = [['X-Forwarded-For', before.for], ['X-Forwarded-Proto', before.proto], ['X-Forwarded-Host', before.host], ['Forwarded', before.forwarded]]
  kept.push(...all.filter(([, value]) => value !== ''))
}

function isTwin(name: string): boolean {
  return /[^a-z0-9-]/.test(name) && twinless.test(name.replaceAll(/[^a-z0-9]/g, '-'))
}

function collect(before: Before, name: string, header: Header, kept: Header[]): void {
  if (name === 'x-forwarded-for') before.for = join(before.for, header[1])
  else if (name === 'forwarded') before.forwarded = join(before.forwarded, header[1])
  else if (name === 'x-forwarded-proto') before.proto = header[1]
  else if (name === 'x-forwarded-host') before.host = header[1]
  else kept.push(header)
}

/** RFC 7239 section 4. */
function element({ address, proto }: Forwarded, host: string): string {
  const node = address === null ? 'unknown' : address.includes(':') ? `"[${address}]"` : address
  return `for=${node};proto=${proto}${host === '' ? '' : `;host=${quoted(host)}`}`
}

function quoted(host: string): string {
  return /^[\w.-]+$/.test(host) ? host : `"${host.replaceAll(/["\\]/g, '')}"`
}

function join(before: string, value: string): string {
  return before === '' ? value : `${before}, ${value}`
}

/** The trailers that may go on: a server may add them to the headers, so none of those that were replaced or judged there. */
export function forwardTrailers(trailers: readonly Header[]): Header[] {
  const passed = endToEndHeaders(trailers)
  if (typeof passed === 'string') return []
  return passed.filter(([key]) => {
    const name = key.toLowerCase()
    return !ours.test(name) && !isTwin(name) && !notInTrailers.test(name)
  })
}
