// One entry of `listeners`, with its derived defaults.

import type * as v from 'valibot'
import type { Address } from './address.ts'
import { buffers, deadlines } from './deadline-keys.ts'
import { http } from './http-keys.ts'
import { changed, choice, derived, duration, flag, optional, section, value } from './keys.ts'
import { completeLimits, limits } from './limit-keys.ts'
import { fromEnvironment } from './meta.ts'
import { parseMode, parseName } from './names.ts'
import { address, cidrs } from './shapes.ts'
import { listenerTls } from './tls-keys.ts'
import { OFF } from './units.ts'
import { upstream } from './upstream-keys.ts'
import { completeWebSocket, websocket } from './websocket-keys.ts'

const listenerKeys = section('One port to listen on, and the service behind it.', {
  name: derived(
    value<string>(
      {
        type: 'name',
        remedy: 'write a name of letters, digits, dots, dashes and underscores',
        json: fromEnvironment({ type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' }),
        read: parseName,
      },
      {
        derived: 'protocol and port, `http-17080`',
        meaning: 'Names the listener in log lines and metric labels.',
      },
    ),
  ),
  address: address('listen', { meaning: 'Where clients connect.' }),
  mode: value<number | null>(
    {
      type: 'file mode in quotes, or `off`',
      remedy: 'write it in quotes, such as "0660"',
      json: fromEnvironment({ type: 'string', pattern: '^(off|0?[0-7]{3})$' }),
      read: parseMode,
    },
    {
      default: 'off',
      meaning:
        'The users that may connect to an `address` that is a Unix socket: those that may write to it. `off` leaves that to the umask, which usually lets nobody but the user of the gate.',
    },
  ),
  protocol: choice({ meaning: '`http` for plain HTTP and WebSocket, `tcp` for opaque bytes.' }, [
    'http',
    'tcp',
  ]),
  upstream,
  deadlines,
  buffers,
  limits,
  websocket,
  http,
  access: section(
    'The clients that may connect, by their address. Others are refused with `denied`. Where the peer is in `http.trustForwarded`, the client is whom it names, for each request.',
    {
      allow: cidrs('Networks of clients that may connect, and no others; an empty list allows all.'),
      deny: cidrs(
        'Networks of clients that may not connect, whatever `allow` says; nor may a peer in them bring any client.',
      ),
    },
  ),
  proxyProtocol: section(
    'The PROXY protocol: proxies before this one say who their client is. That client is then meant wherever a client is.',
    {
      accept: choice(
        {
          default: 'off',
          meaning: 'The version of the header that connections from `trusted` must begin with.',
        },
        ['off', 'v1', 'v2', 'any'],
      ),
      trusted: cidrs(
        'Networks of proxies that must send the header, and are believed. All others are clients of their own, and their bytes are not looked at. A listener on a Unix socket trusts everybody who reaches that.',
      ),
    },
  ),
  tls: optional(listenerTls),
  tcpKeepAlive: duration(
    {
      default: '15s',
      meaning: 'Silence after which the kernel probes a peer; finds those that vanished without a word.',
    },
    { min: 1000, max: 9 * 3_600_000 },
  ),
  noDelay: flag({ default: true, meaning: 'Small writes go out at once (TCP_NODELAY).' }),
})

const WRITE_MS = 30_000
/**
 * The two sides of an opaque protocol pause for reasons of their own; the bytes held meanwhile are bounded
 * all the same.
 */
const TCP_WRITE_MS = 5 * 60_000

/** Fills in the defaults that are made from other keys, and the two of `deadlines.upstreamIdle`. */
function complete(read: v.InferOutput<typeof listenerKeys>) {
  const {
    upstreamIdleMs,
    writeMs = read.protocol === 'tcp' ? TCP_WRITE_MS : WRITE_MS,
    ...otherDeadlines
  } = read.deadlines
  return {
    ...read,
    name: read.name ?? defaultName(read.protocol, read.address),
    deadlines: {
      ...otherDeadlines,
      writeMs,
      upstreamIdleMs: upstreamIdleMs ?? OFF,
      answerIdleMs: upstreamIdleMs ?? 60_000,
    },
    buffers: {
      highBytes: read.buffers.highBytes,
      lowBytes: read.buffers.lowBytes ?? Math.floor(read.buffers.highBytes / 2),
    },
    websocket: completeWebSocket(read.websocket, read.upstream.addresses),
    limits: completeLimits(read.limits),
    tls: read.tls ?? null,
    upstream: {
      ...read.upstream,
      retryForMs: read.upstream.retryForMs ?? null,
      tls: read.upstream.tls ?? null,
    },
  }
}

/** `http-17080`; a Unix socket has no port and takes the name of its file. */
export function defaultName(protocol: string, listen: Address): string {
  if (listen.kind === 'tcp') return `${protocol}-${listen.port}`
  const file = listen.path.slice(listen.path.lastIndexOf('/') + 1).replaceAll(/[^\w.-]/g, '-')
  return `${protocol}-${file}`.slice(0, 63)
}

export const listener = changed(listenerKeys, complete)
