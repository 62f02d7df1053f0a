// The names of headers and their meaning here. A name is looked up once, at its place in a head; from then on
// names are compared by identity, and a head knows in one step whether it has a certain header.

/**
 * Headers that concern one connection only (RFC 9110 section 7.6.1) and those that have joined them.
 * `Trailer` is none: trailers go on, and some peers take only those that it names.
 */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  // Passes from one gate to the next (request-rules.ts).
  'sidegate-hops',
])
/** Headers by which proxies name a client. All of them are removed if the peer is untrusted. */
const forwarding = /^(forwarded|x-real-ip|x-forwarded-.*)$/
/** Names that must have only one reading: a twin of one would be a second. */
const twinless =
  /^(forwarded|x-real-ip|x-forwarded-.*|content-length|transfer-encoding|proxy-.*|sec-websocket-.*)$/

export class HeaderName {
  /** In lower case. */
  readonly key: string
  /** One bit for each name that heads are searched for; 0 for the rest. */
  readonly bit: number
  readonly isHopByHop: boolean
  readonly isForwarding: boolean
  /**
   * The name differs from one in `twinless` only in the character in place of a dash: CGI-like servers fold
   * X_Forwarded_For and X-Forwarded-For into one (CVE-2025-64484 is one of many).
   */
  readonly isTwin: boolean
  /** The next name at the same place of the table. */
  next: HeaderName | null = null

  constructor(key: string, bit: number) {
    this.key = key
    this.bit = bit
    this.isHopByHop = hopByHop.has(key)
    this.isForwarding = forwarding.test(key)
    this.isTwin = /[^a-z0-9-]/.test(key) && twinless.test(key.replaceAll(/[^a-z0-9]/g, '-'))
  }
}

const PLACES = 512
const table: Array<HeaderName | null> = Array.from({ length: PLACES }, () => null)
let bits = 0

/** A name that heads are searched for. */
function asked(spelling: string): HeaderName {
  const key = spelling.toLowerCase()
  return add(new HeaderName(key, 1 << bits++), placeOf(key, 0, key.length))
}

function add(name: HeaderName, place: number): HeaderName {
  name.next = table[place]!
  table[place] = name
  return name
}

/** The place in the table; the same for upper and lower case. */
function placeOf(text: string, begin: number, end: number): number {
  let hash = 0
  for (let at = begin; at < end; at++) hash = (Math.imul(hash, 31) + (text.charCodeAt(at) | 0x20)) | 0
  return hash & (PLACES - 1)
}

/** Whether `key` stands at `begin`, in any case. */
function isAt(key: string, text: string, begin: number): boolean {
  for (let i = 0; i < key.length; i++) {
    const code = text.charCodeAt(begin + i)
    if ((code >= 0x41 && code <= 0x5a ? code | 0x20 : code) !== key.charCodeAt(i)) return false
  }
  return true
}

export const HOST = asked('Host')
export const CONNECTION = asked('Connection')
export const KEEP_ALIVE = asked('Keep-Alive')
export const UPGRADE = asked('Upgrade')
export const TRANSFER_ENCODING = asked('Transfer-Encoding')
export const CONTENT_LENGTH = asked('Content-Length')
export const CONTENT_TYPE = asked('Content-Type')
export const EXPECT = asked('Expect')
export const TE = asked('TE')
export const VIA = asked('Via')
export const ORIGIN = asked('Origin')
export const AUTHORIZATION = asked('Authorization')
export const WWW_AUTHENTICATE = asked('WWW-Authenticate')
/**
 * How many gates a request has come through. `Via` shows that too, where proxies write it, and may be turned
 * off. This header is for gates alone: a client does not see it, and a client that writes it only comes
 * nearer to its own refusal.
 */
export const HOPS = asked('Sidegate-Hops')
export const FORWARDED = asked('Forwarded')
export const FORWARDED_FOR = asked('X-Forwarded-For')
export const FORWARDED_PROTO = asked('X-Forwarded-Proto')
export const FORWARDED_HOST = asked('X-Forwarded-Host')
export const FORWARDED_CERTIFICATE = asked('X-Forwarded-Client-Cert')
export const WS_VERSION = asked('Sec-WebSocket-Version')
export const WS_KEY = asked('Sec-WebSocket-Key')
export const WS_ACCEPT = asked('Sec-WebSocket-Accept')
export const WS_PROTOCOL = asked('Sec-WebSocket-Protocol')
export const WS_EXTENSIONS = asked('Sec-WebSocket-Extensions')

/** Clients choose the other names, so the table learns only the first so many, and few at one place. */
const MAX_LEARNT = 512
const MAX_LEARNT_LENGTH = 40
const MAX_LEARNT_OF_PLACE = 4
let learnt = 0

/** The name in `text[begin..end)`. */
export function nameAt(text: string, begin: number, end: number): HeaderName {
  const place = placeOf(text, begin, end)
  let others = 0
  for (let name = table[place] ?? null; name !== null; name = name.next, others++)
    if (name.key.length === end - begin && isAt(name.key, text, begin)) return name
  // Copied, because a slice would keep the whole head alive.
  const key = Buffer.from(text.slice(begin, end).toLowerCase(), 'latin1').toString('latin1')
  const name = new HeaderName(key, 0)
  if (learnt >= MAX_LEARNT || others >= MAX_LEARNT_OF_PLACE || key.length > MAX_LEARNT_LENGTH) return name
  learnt++
  return add(name, place)
}
