// The opening handshake (RFC 6455 section 4): which requests are accepted from a client, what goes on to the
// upstream, and whether the upstream's 101 answers exactly that. Functions over heads; no sockets.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { forwardedLines } from './forwarding.ts'
import type { Forwarded } from './forwarding.ts'
import { Field } from './fields.ts'
import type { Fields } from './fields.ts'
import { encodeHead, endToEndHeaders, without } from './head.ts'
import type { AnswerHead, RequestHead } from './head.ts'
import {
  CONNECTION,
  CONTENT_LENGTH,
  ORIGIN,
  TRANSFER_ENCODING,
  UPGRADE,
  WS_ACCEPT,
  WS_EXTENSIONS,
  WS_KEY,
  WS_PROTOCOL,
  WS_VERSION,
} from './header-name.ts'
import type { HeaderName } from './header-name.ts'
import { refused } from './refusal.ts'
import { checkHead } from './request-rules.ts'
import type { CheckedHead } from './request-rules.ts'
import { nodeCrypto } from '../core/late.ts'

export interface UpgradeOptions {
  /** The service can take an upgrade: HTTP/2 knows none (RFC 9113 section 8.6). Absent is yes. */
  isKnown?: boolean
  /** Allowed Origin values, compared as written; an empty list allows all, and an absent Origin too. */
  origins: readonly string[]
  /**
   * pass: the extensions that client and upstream agree on. The others offer the upstream no extension, so
   * that it never compresses frames; on: we accept the client's offer ourselves.
   */
  compression: 'pass' | 'strip' | 'off' | 'on'
}

/** An upgrade that may go to the upstream, and what its answer must match. */
export interface Upgrade {
  /** The request head for the upstream. */
  head: Buffer
  accept: string
  protocols: readonly string[]
  /** Names of the offered extensions. */
  extensions: readonly string[]
  /** The client's offer to us, as written; empty unless we may accept one. */
  deflateOffer: string
}

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
/** 16 bytes in base64: 22 characters, of which the last carries 2 bits, and the padding. */
const keyPattern = /^[A-Za-z0-9+/]{21}[AQgw]==$/
/**
 * The only extension whose effect on frames we know (RFC 7692): it uses RSV1. The upstream gets no other
 * offer.
 */
const DEFLATE = 'permessage-deflate'
/**
 * The last two drafts have the handshake and the frames of 13; clients of their time still speak them, and
 * services (ws, Tornado) answer.
 */
const VERSIONS: readonly string[] = ['13', '8', '7']
const DEFLATE_ALONE: readonly string[] = [DEFLATE]
const NONE: readonly string[] = []
const TO_WEBSOCKET = [Field.of('Connection', 'Upgrade'), Field.of('Upgrade', 'websocket')]

/**
 * Whether a request asks for a WebSocket. Any other upgrade (h2c) is an offer that a plain answer declines.
 */
export function isUpgrade({ headers }: { headers: Fields }): boolean {
  return (
    headers.has(UPGRADE) &&
    headers.tokens(UPGRADE).includes('websocket') &&
    headers.tokens(CONNECTION).includes('upgrade')
  )
}

/**
 * Parsers disagree on where the body of an upgrade ends (Node 24 and 26 do), so it must have none. Some
 * clients declare an empty one.
 */
function hasBody(headers: Fields): boolean {
  const length = headers.value(CONTENT_LENGTH)
  return (length !== undefined && length !== '0') || headers.has(TRANSFER_ENCODING)
}

/**
 * The protocols, other than WebSocket, that a request asks to upgrade to; null where there is none. The
 * client chooses the list: it is cut, and printable.
 */
export function otherUpgrade(headers: Fields): string | null {
  if (!headers.has(UPGRADE) || !headers.tokens(CONNECTION).includes('upgrade')) return null
  const asked = headers.values(UPGRADE).join(', ')
  return asked === '' || asked.toLowerCase() === 'websocket'
    ? null
    : asked.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 40)
}

/** In the words of the log. */
export function notRelayed(protocol: string): string {
  return `Upgrade to ${protocol} is not relayed, only websocket is (a listener with protocol: tcp relays any)`
}

/** Checks a request by RFC 6455 section 4.2.1: an Upgrade for the upstream, or why it is refused. */
export function checkUpgrade(
  request: RequestHead,
  options: UpgradeOptions,
  client: Forwarded,
): Upgrade | Close {
  const { headers } = request
  const problem = upgradeProblem(request)
  if (problem !== null) return refused(problem)
  if (options.isKnown === false)
    return refused('the service speaks HTTP/2, which has no upgrade (upstream.protocol)', 501)
  const head = checkHead(request)
  if ('reason' in head) return head
  if (!VERSIONS.includes(headers.value(WS_VERSION) ?? ''))
    return refused('only WebSocket version 13 is spoken here', 426)
  const key = headers.value(WS_KEY) ?? ''
  if (!keyPattern.test(key)) return refused('Sec-WebSocket-Key is not 16 bytes in base64')
  if (!isAllowed(options.origins, headers.value(ORIGIN)))
    return makeClose('denied', 'client', 'handshake', 'origin not allowed (websocket.origins)')
  return forward(request, head, key, { options, client })
}

function isAllowed(origins: readonly string[], origin: string | null | undefined): boolean {
  return origins.length === 0 || (typeof origin === 'string' && origins.includes(origin))
}

function upgradeProblem({ version, method, headers }: RequestHead): string | null {
  if (version !== '1.1') return 'an upgrade needs HTTP/1.1'
  if (method !== 'GET') return 'an upgrade to WebSocket is a GET'
  const other = otherUpgrade(headers)
  if (other !== null) return notRelayed(other)
  return hasBody(headers) ? 'an upgrade has no body' : null
}

function forward(
  request: RequestHead,
  checked: CheckedHead,
  key: string,
  { options, client }: { options: UpgradeOptions; client: Forwarded },
): Upgrade {
  const { headers } = request
  const { known, isAll } = knownExtensions(headers, options)
  const goOn = without(checked.headers, CONTENT_LENGTH)
  const fields = isAll ? goOn : without(goOn, WS_EXTENSIONS)
  if (!isAll && known.length > 0) fields.push(Field.of('Sec-WebSocket-Extensions', known.join(', ')))
  return {
    head: encodeHead(`GET ${checked.target} HTTP/1.1`, TO_WEBSOCKET, forwardedLines(fields, client)),
    accept: nodeCrypto().hash('sha1', key + GUID, 'base64'),
    protocols: elementsOf(headers, WS_PROTOCOL)
      .map((value) => value.trim())
      .filter((value) => value !== ''),
    extensions: known.length > 0 ? DEFLATE_ALONE : NONE,
    deflateOffer: options.compression === 'on' ? headers.values(WS_EXTENSIONS).join(', ') : '',
  }
}

/** The offered extensions that go on, and whether that is the whole offer, which then goes on as written. */
function knownExtensions(
  headers: Fields,
  options: UpgradeOptions,
): { known: readonly string[]; isAll: boolean } {
  const elements = elementsOf(headers, WS_EXTENSIONS)
  if (elements.length === 0) return { known: NONE, isAll: true }
  const isKnown = (element: string): boolean => extensionName(element) === DEFLATE
  const known = options.compression === 'pass' ? elements.filter(isKnown) : NONE
  return { known: known.map((element) => element.trim()), isAll: known.length === elements.length }
}

/** The comma-separated elements of all values of a header. */
function elementsOf(headers: Fields, name: HeaderName): readonly string[] {
  const values = headers.values(name)
  return values.length === 0 ? values : values.flatMap((value) => value.split(','))
}

function extensionName(element: string): string {
  const end = element.indexOf(';')
  return (end < 0 ? element : element.slice(0, end)).trim().toLowerCase()
}

/** A verified 101. */
export interface Accepted {
  /** The head of the answer for the client. */
  head: Buffer
  /** Client and upstream negotiated permessage-deflate: RSV1 has a meaning. */
  isCompressed: boolean
}

export interface AcceptedOptions {
  /** Our own answer to the client's extensions. */
  extensions?: string | undefined
  /**
   * The subprotocol is for the client to judge, and an empty value says nothing: no byte is read by it, and
   * many clients mind neither (`http.lenient`).
   */
  isLenient: boolean
}

/** Checks a 101 by RFC 6455 section 4.1, as the client will: the head for the client, or the broken rule. */
export function checkAccepted(
  answer: AnswerHead,
  upgrade: Upgrade,
  { extensions: ours, isLenient }: AcceptedOptions,
): Accepted | string {
  const { headers } = answer
  if (answer.version !== '1.1') return '101 is not HTTP/1.1'
  if (headers.value(UPGRADE)?.toLowerCase() !== 'websocket') return '101 without Upgrade: websocket'
  if (!headers.tokens(CONNECTION).includes('upgrade')) return '101 without Connection: Upgrade'
  if (headers.value(WS_ACCEPT) !== upgrade.accept) return '101 with a wrong Sec-WebSocket-Accept'
  const protocol = headers.value(WS_PROTOCOL)
  if (!isLenient && protocol !== undefined && (protocol === null || !upgrade.protocols.includes(protocol)))
    return '101 with a subprotocol that was not offered'
  const empty = isLenient ? [WS_PROTOCOL, WS_EXTENSIONS].filter((name) => isWithoutValue(headers, name)) : []
  const extensions = empty.includes(WS_EXTENSIONS)
    ? NONE
    : elementsOf(headers, WS_EXTENSIONS).map(extensionName)
  if (extensions.length > 1 || extensions.some((name) => !upgrade.extensions.includes(name)))
    return '101 with an extension that was not offered'
  const passed = endToEndHeaders(headers, { isLenient })
  if (typeof passed === 'string') return `Connection lists ${passed}`
  const fields = passed.filter(({ name }) => name !== CONTENT_LENGTH && !empty.includes(name))
  fields.push(...TO_WEBSOCKET)
  if (ours !== undefined) fields.push(Field.of('Sec-WebSocket-Extensions', ours))
  return {
    head: encodeHead(`HTTP/1.1 101 ${answer.reason || 'Switching Protocols'}`, fields),
    isCompressed: extensions.length > 0,
  }
}

function isWithoutValue(headers: Fields, name: HeaderName): boolean {
  return headers.has(name) && headers.values(name).every((value) => value === '')
}
