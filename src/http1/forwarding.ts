// The headers that describe the client to the upstream, and us to the client: X-Forwarded-*, Forwarded, Via.
//
// An upstream believes these headers, so a client must not be able to write them: those of an untrusted peer
// are replaced, those of a trusted one (`http.trustForwarded`) appended to. Twins, which differ only in the
// character in place of a dash, are dropped (header-name.ts).

import type { Connection } from '../core/connection.ts'
import { CERTIFICATE_HEADER, certificateElement } from './client-certificate.ts'
import { CRLF, Field } from './fields.ts'
import type { Fields } from './fields.ts'
import { endToEndHeaders } from './head.ts'
import {
  FORWARDED,
  FORWARDED_CERTIFICATE,
  FORWARDED_FOR,
  FORWARDED_HOST,
  FORWARDED_PROTO,
  HOST,
  VIA,
} from './header-name.ts'

/** How a listener describes its clients. */
export interface ForwardingOptions {
  form: 'x-forwarded' | 'rfc7239' | 'both' | 'off'
  hasVia: boolean
  /** Whether a peer at this address may name its client. */
  isTrusted: (address: string) => boolean
  /** Clients speak TLS. */
  isSecure: boolean
  /** The upstream gets the certificates of clients. */
  forwardsCertificate: boolean
  /** The Host of a request that names none. */
  service: string
}

/** The client of a request, and the form in which the upstream gets it. */
export interface Forwarded {
  /** The peer's address without port; IPv6 without brackets; null where it has none (a unix socket). */
  address: string | null
  proto: 'http' | 'https'
  isTrusted: boolean
  /**
   * The client's certificate as a header value; absent if it does not go on (`http.clientCertificate: off`).
   */
  certificate?: string
  form: ForwardingOptions['form']
  hasVia: boolean
  service: string
}

const OURS = '1.1 sidegate'
const NONE: readonly Field[] = []
/**
 * Besides the headers by which proxies name a client: those that a reader needs before the body (RFC 9110
 * section 6.5.1).
 */
const notInTrailers =
  /^(host|content-.*|authorization|cookie|set-cookie|via|origin|expect|range|age|date|location|max-forwards|cache-control|if-.*|trailer)$/

/** The client of a connection's requests, from the connection record. */
export function forwardedFor(
  { peer: { ip: address }, namesClients: isTrusted, tls }: Pick<Connection, 'peer' | 'namesClients' | 'tls'>,
  { form, hasVia, isSecure, forwardsCertificate, service }: ForwardingOptions,
): Forwarded {
  const certificate = tls?.certificate ?? null
  return {
    address,
    proto: isSecure ? 'https' : 'http',
    form,
    hasVia,
    isTrusted,
    service,
    ...(forwardsCertificate && certificate !== null ? { certificate: certificateElement(certificate) } : {}),
  }
}

/** The header lines for the upstream; `headers` are already end to end (without hop-by-hop ones). */
export function forwardedLines(headers: readonly Field[], client: Forwarded): string {
  const kept: Field[] = []
  const before = { for: '', forwarded: '', via: '', proto: '', host: '', certificate: '' }
  let host = ''
  for (let i = 0; i < headers.length; i++) {
    const field = headers[i]!
    const { name } = field
    if (name.isTwin) continue
    if (name === HOST) host = field.value
    if (client.hasVia && name === VIA) before.via = join(before.via, field.value)
    else if (!name.isForwarding) kept.push(field)
    else if (client.isTrusted && client.certificate !== undefined && name === FORWARDED_CERTIFICATE)
      before.certificate = join(before.certificate, field.value)
    else if (client.isTrusted) collect(before, field, kept)
  }
  let lines = Field.lines(kept) + forwardedFields(before, client, host)
  if (client.certificate !== undefined)
    lines += line(CERTIFICATE_HEADER, join(before.certificate, client.certificate))
  return client.hasVia ? lines + line('Via', join(before.via, OURS)) : lines
}

interface Before {
  for: string
  forwarded: string
  proto: string
  host: string
}

/**
 * Appends to a trusted proxy's headers in the form that they have: the other form, with our words alone,
 * would contradict them.
 */
function forwardedFields(before: Before, client: Forwarded, host: string): string {
  const { form } = client
  const saidX = before.for !== '' || before.proto !== '' || before.host !== ''
  const said = saidX || before.forwarded !== ''
  if (form === 'off') return passedOn(before)
  let lines = ''
  if (said ? saidX : form !== 'rfc7239') {
    lines += line('X-Forwarded-For', withPeer(before.for, client.address))
    lines += line('X-Forwarded-Proto', before.proto || client.proto)
    if (before.host || host) lines += line('X-Forwarded-Host', before.host || host)
  }
  if (said ? before.forwarded !== '' : form !== 'x-forwarded')
    lines += line('Forwarded', join(before.forwarded, element(client, host)))
  return lines
}

/** Applications count addresses from the right: a proxy on a unix socket adds none (as with HAProxy). */
function withPeer(before: string, address: string | null): string {
  return address === null ? before || 'unknown' : join(before, address)
}

function line(name: string, value: string): string {
  return `${name}: ${value}${CRLF}`
}

function passedOn(before: Before): string {
  const all = [
    ['X-Forwarded-For', before.for],
    ['X-Forwarded-Proto', before.proto],
    ['X-Forwarded-Host', before.host],
    ['Forwarded', before.forwarded],
  ] as const
  return all.map(([name, value]) => (value === '' ? '' : line(name, value))).join('')
}

function collect(before: Before, field: Field, kept: Field[]): void {
  if (field.name === FORWARDED_FOR) before.for = join(before.for, field.value)
  else if (field.name === FORWARDED) before.forwarded = join(before.forwarded, field.value)
  else if (field.name === FORWARDED_PROTO) before.proto = field.value
  else if (field.name === FORWARDED_HOST) before.host = field.value
  else kept.push(field)
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

/**
 * The trailers that may go on: a server may merge them into the headers, so none of those that are replaced
 * or judged there.
 */
export function forwardTrailers(trailers: Fields): readonly Field[] {
  if (trailers.list.length === 0) return NONE
  const passed = endToEndHeaders(trailers)
  if (typeof passed === 'string') return []
  return passed.filter(({ name }) => !name.isForwarding && !name.isTwin && !notInTrailers.test(name.key))
}
