// `deadlines` and `buffers` of a listener: how long, and how much, may wait for a peer.

import { defaults } from './defaults.ts'
import { derived, duration, percent, section, size } from './keys.ts'

const KIB = 1024
const MIB = 1024 * KIB

export const deadlines = section(
  'How long may be waited, and for what. A deadline ends a connection with the reason of its name: `halfClose` with `half_close_timeout`.',
  {
    handshake: duration({
      default: '10s',
      meaning:
        "For the client's PROXY header, TLS handshake and request head together, counted from the accept so that a trickle does not help; also for each later head, and over HTTP/2 for each header block, from its first byte on.",
      innocent: 'A client that is slow but done within it.',
    }),
    connect: duration({
      default: defaults.connect,
      meaning:
        'For the upstream to accept the connection: the first answer for its name, its TLS handshake, and all dials that are tried, together.',
    }),
    response: duration({
      default: '60s',
      meaning: 'For the head of the answer of the upstream, or its 101, once it has taken the request.',
      innocent:
        'A slow endpoint: set it above the slowest answer. Each of the first 16 interim answers (1xx), to a plain request or to an upgrade, begins it anew, a part of a head does not. Where it is off, `idle` takes its place.',
    }),
    request: duration({
      default: '60s',
      meaning: 'Without a byte of the body of an HTTP request that the client owes.',
      innocent: 'A slow upload: every byte re-arms it.',
    }),
    idle: duration({
      default: '1h',
      meaning: 'Without data either way. Pings and pongs are not data.',
      innocent: 'One-way push: data in either direction counts.',
    }),
    clientIdle: duration({
      default: 'off',
      meaning: 'Without data from the client, whatever the upstream sends.',
    }),
    upstreamIdle: derived(
      duration({
        derived: 'off, but 60s inside the body of a plain HTTP answer',
        meaning: 'Without data from the upstream, whatever the client sends.',
        innocent:
          'By default an answer that is an event stream (`text/event-stream`), one whose request still comes in, WebSockets and tcp: they have `idle`.',
      }),
    ),
    write: derived(
      duration({
        derived: '30s, and 5m for `protocol: tcp`',
        meaning: 'While bytes wait for a peer and it takes none of them: it is stalled.',
        innocent:
          'A slow reader: every byte it takes re-arms it. On tcp a pager on the result of a query, a broker that stops reading publishers while its memory is short.',
      }),
    ),
    halfClose: duration({
      default: '30s',
      meaning:
        'From the end of one side to the end of the other. Keep it below 60s behind iptables NAT, which forgets a half-closed connection by then.',
      innocent: 'An answer still flowing after the end of the question: progress re-arms it.',
    }),
    close: duration({
      default: '5s',
      meaning:
        'Without progress, for the last bytes of an end that Sidegate decides (after an end by a peer they have `write`), and then for the closing handshake.',
    }),
    lifetime: duration({
      default: 'off',
      meaning:
        'The greatest age of a connection, busy or not; makes clients reconnect, which balances them over the pods.',
    }),
    lifetimeJitter: percent(
      {
        default: '10%',
        meaning:
          'How much of `lifetime` may be taken off at random, so that not all reconnect at once. `lifetime` stays a hard maximum.',
      },
      { min: 0.001, max: 0.5, isOffAllowed: true },
    ),
  },
)

export const buffers = section(
  'The bytes that may wait in memory for a peer, for each direction of each connection.',
  {
    high: size(
      { default: defaults.high, meaning: 'Reading stops when this much waits to be written.' },
      { min: 4 * KIB, max: 16 * MIB, isOffAllowed: false },
    ),
    low: derived(
      size(
        { derived: 'half of `high`', meaning: 'Reading goes on when no more than this waits.' },
        { min: 1, max: 16 * MIB, isOffAllowed: false },
      ),
    ),
  },
)
