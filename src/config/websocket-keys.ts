// The keys of a WebSocket, with its defaults that depend on other keys.

import type * as v from 'valibot'
import type { Address } from './address.ts'
import { isLoopback } from './address.ts'
import { choice, count, derived, duration, list, section, size, value } from './keys.ts'
import { fromEnvironment } from './meta.ts'
import { parseOrigin } from './names.ts'
import { OFF } from './units.ts'

const KIB = 1024
const GIB = 1024 ** 3

export const pingInterval = '25s'

const ping = section(
  'Pings to the sides of a WebSocket. A side is held to them only once it has answered one. Any byte that it sends answers for it, and any that it takes gives it a whole `timeout` more, which begins when the ping has reached it.',
  {
    interval: duration({
      default: pingInterval,
      meaning:
        'Between two pings to a silent side; `off` sends none. The first goes to a client though it talks, to learn whether it answers.',
    }),
    timeout: derived(
      duration(
        {
          derived: '20s, or `interval` if that is shorter',
          meaning: 'For an answer to a ping.',
          innocent: 'A side that is slow, or busy, or computes for a minute.',
        },
        { isOffAllowed: false },
      ),
    ),
    misses: count(
      {
        default: 3,
        meaning: 'Pings in a row that a side leaves unanswered before it ends with `ping_timeout`.',
      },
      { min: 1, max: 100, isOffAllowed: false },
    ),
    to: derived(
      choice(
        {
          derived: 'both, or client where every upstream address is loopback or a unix socket',
          meaning:
            'Which sides get pings. On loopback a service cannot vanish unnoticed, and there are some that fall at a ping that they did not ask for.',
        },
        ['client', 'upstream', 'both'],
      ),
    ),
  },
)

const slowConsumer = section(
  'A client that reads more slowly than it is sent to. All but `wait` need `mode: messages`.',
  {
    policy: choice(
      {
        default: 'wait',
        meaning:
          '`wait` holds the service back, `close` ends the client with `slow_consumer`, `dropOldest` and `dropNewest` drop whole messages: the service is never held back, and a client that takes nothing at all still ends by `deadlines.write`.',
        innocent: 'A burst: `queue` may wait.',
      },
      ['wait', 'close', 'dropOldest', 'dropNewest'],
    ),
    queue: size(
      {
        default: '1MiB',
        meaning:
          'Unless the policy is `wait`: what may wait for the client beyond what its socket has taken; each message counts with its bytes and 256 more. A message always fits an empty queue.',
      },
      { min: KIB, max: GIB, isOffAllowed: false },
    ),
  },
)

export const websocket = section('WebSocket connections (`protocol: http`).', {
  mode: choice(
    {
      default: 'frames',
      meaning:
        '`frames` streams frames as they come, compressed ones too; `messages` holds whole messages and sends them on as new ones: UTF-8 is checked, compression is for each side, a slow client can be spared.',
    },
    ['frames', 'messages'],
  ),
  ping,
  maxMessage: size(
    {
      default: '1MiB',
      meaning:
        'The largest message of a client: in frames mode as it is on the wire, in messages mode also what it inflates to.',
    },
    { min: 1, max: GIB, isOffAllowed: true },
  ),
  maxMessageToClient: derived(
    size(
      {
        derived: 'off, or `maxMessage` in messages mode, which holds it',
        meaning: 'The largest message of the service.',
        innocent: 'A large answer, which costs nothing in frames mode.',
      },
      { min: 1, max: GIB, isOffAllowed: true },
    ),
  ),
  maxFragments: count(
    { default: 1024, meaning: 'The most fragments of one message of a client.' },
    { min: 1, max: 1_000_000, isOffAllowed: true },
  ),
  messageTimeout: derived(
    duration({
      derived: '60s in messages mode, off in frames mode, which holds no message',
      meaning:
        'For a message that has begun, unless 512 bytes a second of it come in the mean; then its connection ends with `too_slow`.',
      innocent:
        'A large message on a poor link, and a sender that is not read because of a limit or a slow other side.',
    }),
  ),
  origins: list(
    'Allowed values of the `Origin` header, such as `https://example.com`; an empty list allows all.',
    value<string>(
      {
        type: 'origin',
        remedy: 'write an origin such as https://example.com',
        json: fromEnvironment({
          type: 'string',
          pattern: String.raw`^(null|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@\s]+)$`,
        }),
        read: parseOrigin,
      },
      { meaning: 'One allowed origin.' },
    ),
    { min: 0, max: 10_000, remedy: 'write a list of origins such as [https://example.com]' },
  ),
  slowConsumer,
  compression: derived(
    choice(
      {
        derived: 'pass, or off in messages mode',
        meaning:
          'In frames mode `pass` leaves the compression that client and upstream agree on, `strip` removes the offer. In messages mode `on` compresses for clients that offer it, whatever the service knows of it; the service itself is offered none.',
      },
      ['pass', 'strip', 'on', 'off'],
    ),
  ),
})

/** Fills in the defaults that depend on other keys. */
export function completeWebSocket(read: v.InferOutput<typeof websocket>, upstream: readonly Address[]) {
  const {
    mode,
    maxMessageBytes,
    ping: { intervalMs, timeoutMs, misses, to },
  } = read
  const isFrames = mode === 'frames'
  return {
    ...read,
    compression: read.compression ?? (isFrames ? ('pass' as const) : ('off' as const)),
    maxMessageToClientBytes: read.maxMessageToClientBytes ?? (isFrames ? OFF : maxMessageBytes),
    messageTimeoutMs: read.messageTimeoutMs ?? (isFrames ? OFF : 60_000),
    ping: {
      intervalMs,
      timeoutMs: timeoutMs ?? Math.min(20_000, intervalMs),
      misses,
      to: to ?? (upstream.every(isLoopback) ? ('client' as const) : ('both' as const)),
    },
  }
}
