// The keys of HTTP requests.

import type { Cidr } from './cidr.ts'
import { cidrRemedy, parseCidr } from './cidr.ts'
import { changed, choice, count, duration, list, section, size, value } from './keys.ts'
import type { Key } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { PRIVATE } from './networks.ts'
import type { Parsed } from './words.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

const httpVersions = ['h2', 'http/1.1'] as const

const remedy = `${cidrRemedy}, or ${PRIVATE}`

const trusted: Key<Cidr | typeof PRIVATE> = value<Cidr | typeof PRIVATE>(
  {
    type: 'trusted network',
    remedy,
    json: fromEnvironment({
      type: 'string',
      pattern: String.raw`^(${PRIVATE}|[0-9A-Fa-f:.]+(/[0-9]{1,3})?)$`,
    }),
    read(input): Parsed<Cidr | typeof PRIVATE> {
      if (input === PRIVATE) return { value: PRIVATE }
      const parsed = parseCidr(input)
      return 'problem' in parsed ? { problem: parsed.problem.replace(cidrRemedy, remedy) } : parsed
    },
  },
  { meaning: 'One network.' },
)

export const http = section('HTTP requests (`protocol: http`).', {
  maxHeader: size(
    { default: '16KiB', meaning: 'The largest head of a request or an answer.' },
    { min: KIB, max: MIB, isOffAllowed: false },
  ),
  maxBody: size(
    { default: 'off', meaning: 'The largest body of a request.' },
    { min: 1, max: 1024 * GIB, isOffAllowed: true },
  ),
  keepAlive: duration({
    default: '65s',
    meaning: 'For the next request of a client on the same connection.',
  }),
  versions: changed(
    list(
      'The protocols that a TLS listener offers clients by ALPN, best first; an empty list is `[h2, http/1.1]`.',
      choice({ meaning: 'One protocol.' }, httpVersions),
      { min: 0, max: 2, remedy: 'write a list such as [h2, http/1.1]' },
    ),
    (all) => (all.length === 0 ? [...httpVersions] : all),
  ),
  h2c: choice(
    {
      default: 'off',
      meaning:
        'With `on` a listener in the clear serves clients that begin with the preface of HTTP/2 (prior knowledge) beside those of HTTP/1.1. `Upgrade: h2c` is no way to it.',
    },
    ['off', 'on'],
  ),
  maxStreams: count(
    { default: 100, meaning: 'Requests that a client of HTTP/2 may have under way on one connection.' },
    { min: 1, max: 10_000, isOffAllowed: false },
  ),
  lenient: choice(
    {
      default: 'upstream',
      meaning:
        'The side whose heads and chunks may be written as loosely as HAProxy and nginx take them: lines that end with LF alone, a repeated `Content-Length` of the same value, chunk sizes padded with blanks, an answer to HEAD or a 304 with any framing, an HTTP/1.0 answer in chunks, a `Connection` that lists a header which stays, a reason that may not be written, a subprotocol of a WebSocket that was not offered or is empty. Of clients `both` takes only heads whose lines end with LF alone. What could be read as two messages is refused in any case.',
    },
    ['off', 'upstream', 'both'],
  ),
  abortOnHalfClose: choice(
    {
      default: 'off',
      meaning:
        '`on`: a client that ends its half of the connection has left, and its request ends with it, as with nginx. `off`: it is answered.',
    },
    ['off', 'on'],
  ),
  forwarded: choice(
    {
      default: 'x-forwarded',
      meaning:
        'How the service is told of the client: `X-Forwarded-For`, `-Proto` and `-Host`, or `Forwarded` (RFC 7239). What a trusted proxy has said is added to in the form that it used.',
    },
    ['x-forwarded', 'rfc7239', 'both', 'off'],
  ),
  via: choice(
    {
      default: 'off',
      meaning:
        'Whether requests and answers say that they came through here, in `Via`. nginx compresses nothing for a request that does.',
    },
    ['off', 'on'],
  ),
  clientCertificate: choice(
    {
      default: 'off',
      meaning:
        'With `tls.clientCa`: `forward` tells the upstream of the certificate that a client has shown, in `X-Forwarded-Client-Cert` as Envoy writes it (`Hash`, `Subject`, `URI`, `DNS`), with each request and upgrade. What a client says under that name is removed either way, but for `trustForwarded`.',
    },
    ['off', 'forward'],
  ),
  trustForwarded: list(
    'Networks of proxies before this one: from them `X-Forwarded-*` and `Forwarded` are added to, from all others replaced. `private` stands for 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, 100.64.0.0/10, link-local addresses, loopback and unix sockets: whatever an ingress in the same cluster comes from. Each of their requests is of the client that they name: for `access`, limits per client, the log and listings.',
    trusted,
    { min: 0, max: 1000, remedy: 'write a list of networks such as [10.0.0.0/8], or [private]' },
  ),
})
