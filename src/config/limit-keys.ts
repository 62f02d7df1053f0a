// `limits` of a listener, which refuse and slow down.

import type * as v from 'valibot'
import { changed, choice, count, derived, duration, either, section, size } from './keys.ts'
import { USUAL_CONNECTIONS } from './usual-connections.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

/** The mode of one limit, which overrides `limits.mode`. */
const ownMode = () =>
  derived(
    choice(
      { derived: '`limits.mode`', meaning: '`observe` counts what would have been done, and does nothing.' },
      ['enforce', 'observe'],
    ),
  )

const perMeaning =
  'The connections that share the rate: `connection`, each has its own; `client`, all connections of a client (an IPv4 address, or an IPv6 /64); `listener`, all of it.'
const perConnection = () =>
  choice({ default: 'connection', meaning: perMeaning }, ['connection', 'client', 'listener'])

/** Whether other gates share the limit; limits of one connection are not shared. */
const scope = (who: string) =>
  choice(
    {
      default: 'process',
      meaning: `Whether gates share it: \`process\`, each has its own; \`fleet\`, all of them together, through \`shared.redis\`; for ${who}.`,
    },
    ['process', 'fleet'],
  )

const maxPerClient = () =>
  count(
    {
      default: 'off',
      meaning:
        'The most connections at a time of one client (an IPv4 address, or an IPv6 /64); more are refused with `too_many`. Of a client that a peer in `http.trustForwarded` names, its WebSockets and its requests under way.',
      innocent: 'Clients behind one NAT address count as one: set it above what an office has.',
    },
    { min: 1, max: 1_000_000, isOffAllowed: true },
  )

export const limits = section('The bounds beyond which a listener refuses or slows down.', {
  connections: derived(
    count(
      {
        derived: `${USUAL_CONNECTIONS}, or what the descriptor limit holds`,
        meaning:
          'The most connections at a time; more are refused with `too_many`. A written number that the descriptor limit does not hold is an error at start.',
      },
      { min: 1, max: 1_000_000, isOffAllowed: false },
    ),
  ),
  connectionsPerClient: either(
    changed(maxPerClient(), (max) => ({ max, scope: 'process' as const })),
    section('The most connections at a time of one client, and who counts them together.', {
      max: maxPerClient(),
      scope: scope('client'),
    }),
  ),
  newConnections: section('How many connections begin in a second.', {
    rate: count(
      { default: 'off', meaning: 'New connections a second.' },
      { min: 1, max: 1_000_000, isOffAllowed: true },
    ),
    burst: count(
      {
        default: 100,
        meaning: 'So many may come at once.',
        innocent: 'A page that opens a handful at a time.',
      },
      { min: 1, max: 1_000_000, isOffAllowed: false },
    ),
    per: choice(
      {
        default: 'listener',
        meaning:
          'The connections that share the rate: `listener`, all clients; `client`, each for itself, and then `onExceed` must be `close`. Of a client that a peer in `http.trustForwarded` names each request counts, and each WebSocket.',
      },
      ['listener', 'client'],
    ),
    onExceed: choice(
      {
        default: 'delay',
        meaning:
          '`delay` lets new connections wait, unread, for at most `deadlines.handshake`; `close` refuses them with `rate_limited`.',
      },
      ['delay', 'close'],
    ),
    scope: scope('what `per` says'),
    mode: ownMode(),
  }),
  bytes: section('Bytes a second that are read, in each direction for itself.', {
    rate: size(
      { default: 'off', meaning: 'Bytes a second.' },
      { min: KIB, max: 1024 * GIB, isOffAllowed: true },
    ),
    burst: size(
      {
        default: '1MiB',
        meaning:
          'So many may come at once. Where it delays, at least one read (64 KiB) and what flows in 40 ms.',
        innocent: 'A page, an image: what is short is not slowed down.',
      },
      { min: 64 * KIB, max: 1024 * GIB, isOffAllowed: false },
    ),
    per: perConnection(),
    onExceed: choice(
      {
        default: 'delay',
        meaning:
          '`delay` reads no faster, so that nothing is lost and the sender waits; `close` ends the connection with `rate_limited`.',
      },
      ['delay', 'close'],
    ),
    scope: scope('`per: client` or `per: listener`'),
    mode: ownMode(),
  }),
  minRate: section(
    'The least speed of a peer that owes something (a WebSocket message, an HTTP body) or is owed something (queued bytes); slower ones end with `too_slow`.',
    {
      bytes: size(
        {
          default: 'off',
          meaning: 'Bytes a second in the mean, from the moment when it began to owe, or to be owed.',
          innocent:
            'A connection that is merely idle, and one that is not read because of a limit or a slow other side. Each stream of HTTP/2 is judged by itself as long as its own window is shut; where streams wait for their connection, that is judged, by what it takes of all of them together.',
        },
        { min: 1, max: GIB, isOffAllowed: true },
      ),
      after: duration({ default: '10s', meaning: 'Nothing is judged before that.' }, { isOffAllowed: false }),
      mode: ownMode(),
    },
  ),
  messages: section(
    'WebSocket messages a second, in each direction for itself. Control frames and tiny fragments count as messages.',
    {
      rate: count(
        { default: 'off', meaning: 'Messages a second.' },
        { min: 1, max: 1_000_000, isOffAllowed: true },
      ),
      burst: count(
        {
          default: 100,
          meaning: 'So many may come at once. Where it delays, at least one and what flows in 40 ms.',
          innocent: 'A client that says much at its start.',
        },
        { min: 1, max: 1_000_000, isOffAllowed: false },
      ),
      per: perConnection(),
      onExceed: choice(
        {
          default: 'delay',
          meaning:
            '`delay` reads no faster, so that nothing is lost and the sender waits; `close` ends the connection with `rate_limited`; `drop` (only in `websocket.mode: messages`) drops whole messages that come without a token, and nobody waits: what has begun goes on in any case, and pings and pongs are dropped like messages but for one a second, which a heartbeat may need.',
        },
        ['delay', 'close', 'drop'],
      ),
      scope: scope('`per: client` or `per: listener`'),
      mode: ownMode(),
    },
  ),
  mode: choice(
    {
      default: 'enforce',
      meaning:
        '`observe` counts what the limits would have done (`sidegate_observed_total`), and does nothing. What the descriptors hold is a limit in either mode.',
    },
    ['enforce', 'observe'],
  ),
})

// oxlint-disable-next-line eslint/max-lines-per-function -- a table of keys
export function completeLimits({
  connections,
  connectionsPerClient,
  newConnections,
  bytes,
  minRate,
  messages,
  mode,
}: v.InferOutput<typeof limits>) {
  const isEnforced = (own: 'enforce' | 'observe' | undefined): boolean => (own ?? mode) === 'enforce'
  return {
    connections: connections ?? null,
    connectionsPerClient,
    newConnections: {
      perSec: newConnections.rate,
      burst: newConnections.burst,
      per: newConnections.per,
      onExceed: newConnections.onExceed,
      scope: newConnections.scope,
      isEnforced: isEnforced(newConnections.mode),
    },
    bytes: {
      perSec: bytes.rateBytes,
      burst: bytes.burstBytes,
      per: bytes.per,
      onExceed: bytes.onExceed,
      scope: bytes.scope,
      isEnforced: isEnforced(bytes.mode),
    },
    messages: {
      perSec: messages.rate,
      burst: messages.burst,
      per: messages.per,
      onExceed: messages.onExceed,
      scope: messages.scope,
      isEnforced: isEnforced(messages.mode),
    },
    minRate: {
      bytesPerSec: minRate.bytesBytes,
      afterMs: minRate.afterMs,
      isEnforced: isEnforced(minRate.mode),
    },
    isEnforced: mode === 'enforce',
  }
}
