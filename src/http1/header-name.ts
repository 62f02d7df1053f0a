// What the name of a header means here. It is looked up once, where it stands in a head; from then on names are compared by identity,
// and a head tells in one step whether it has a header that is asked for.

/** Headers that concern one connection only (RFC 9110 section 7.6.1) and those that came to stand beside them. */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
  // From one gate to the next (request-rules.ts).
  'sidegate-hops',
])
/** Headers by which proxies name a client. From an untrusted peer all of them go. */
const forwarding = /^(forwarded|x-real-ip|x-forwarded-.*)$/
/** Names that are read in one way only: a twin of one would be a second. */
const twinless =
  /^(forwarded|x-real-ip|x-forwarded-.*|content-length|transfer-encoding|proxy-.*|sec-websocket-.*)$/

export class HeaderName {
  /** In lower case. */
  readonly key: string
  /** One bit for each name that heads are asked for; 0 for the rest. */
  readonly bit: number
  readonly isHopByHop: boolean
  readonly isForwarding: boolean
  /**
   * It only differs in what stands for a dash from a name that is read in one way only: CGI-like servers fold X_Forwarded_For and
   * X-Forwarded-For into one (CVE-2025-64484 is one of many).
   */
  readonly isTwin: boolean
  /** Of the same place in the table. */
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

/** One that heads are asked for. */
function asked(spelling: string): HeaderName {
  const key = spelling.toLowerCase()
  return add(new HeaderName(key, 1 << bits++), placeOf(key, 0, key.length))
}

function add(name: HeaderName, place: number): HeaderName {
  name.next = table[place]!
  table[place] = name
  return name
}

/** Upper and lower case have one place. */
function placeOf(text: string, begin: number, end: number): number {
  let hash = 0
  for (let at = begin; at < end; at++) hash = (Math.imul(hash, 31) + (text.charCodeAt(at) | 0x20)) | 0
  return hash & (PLACES - 1)
}

/** In any case. */
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
export const VIA = asked('Via')
export const ORIGIN = asked('Origin')
export const AUTHORIZATION = asked('Authorization')
export const WWW_AUTHENTICATE = asked('WWW-Authenticate')
/**
 * How many gates a request has come through. `Via` says so too, where proxies write it, and may be turned off; this is for gates alone: a client
 * does not see it, and one that writes it comes nearer to its own refusal and no farther from it.
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

/** Of names that applications made up so many are remembered, those that come first, and few at one place: clients choose them. */
const MAX_LEARNT = 512
const MAX_LEARNT_LENGTH = 40
const MAX_LEARNT_OF_PLACE = 4
let learnt = 0

/** The name that is `text[begin..end)`. */
export function nameAt(text: string, begin: number, end: number): HeaderName {
  const place = placeOf(text, begin, end)
  let others = 0
  for (let name = table[place] ?? null; name !== null; name = name.next, others++)
    if (name.key.length === end - begin && isAt(name.key, text, begin)) return name
  // A slice would keep the head alive that it is cut from.
  const key = Buffer.from(text.slice(begin, end).toLowerCase(), 'latin1').toString('latin1')
  const name = new HeaderName(key, 0)
  if (learnt >= MAX_LEARNT || others >= MAX_LEARNT_OF_PLACE || key.length > MAX_LEARNT_LENGTH) return name
  learnt++
  return add(name, place)
}
