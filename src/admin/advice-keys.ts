// The keys that can be learnt from habits of connections, with those habits and a margin. The margin is what
// an innocent may do tomorrow beyond today; the proposal is rounded up to a number that people write.

import type { HabitName } from '../metrics/habits.ts'
import { at } from './config-value.ts'

export type Unit = 'ms' | 'bytes' | 'count'

export interface AdviceKey {
  /** Below a listener. */
  key: string
  /** The larger of these decides. */
  from: readonly HabitName[]
  unit: Unit
  /** The factor on the largest innocent value. */
  margin: number
  /** The bounds of a proposal. */
  least: number
  most: number
  /** A sentence on the greatest, `{v}`, of so many, `{n}`. */
  greatest: string
  /** The things counted, in the plural: `messages of clients`. */
  what: string
  protocol: 'http' | 'tcp' | 'both'
  /** The habits to learn from where the listener has the limit for each client. */
  perClient?: { from: readonly HabitName[]; greatest: string; what: string }
  /**
   * The proposal must be below this key, as proposed or in force, which would otherwise end or delay all of
   * them first.
   */
  below?: string
  /** Keys that the value must not go beyond, or the configuration is refused. */
  notAbove?: string
  notBelow?: string
  /** Only for listeners whose configuration passes this. */
  isFor?: (listener: Readonly<Record<string, unknown>>) => boolean
  /** A second key that gets the same number. */
  burst?: { key: string; least: number }
}

const KIB = 1024
const GIB = KIB ** 3
const SECOND = 1000
const DAY = 86_400 * SECOND

export const adviceKeys: readonly AdviceKey[] = [
  {
    key: 'websocket.maxMessage',
    greatest: 'The largest of {n} messages of clients had {v}',
    from: ['messageToUpstream'],
    unit: 'bytes',
    margin: 2,
    least: 4 * KIB,
    most: GIB,
    what: 'messages of clients',
    protocol: 'http',
  },
  {
    key: 'websocket.maxMessageToClient',
    greatest: 'The largest of {n} messages of the service had {v}',
    from: ['messageToClient'],
    unit: 'bytes',
    margin: 4,
    least: 64 * KIB,
    most: GIB,
    what: 'messages of the service',
    protocol: 'http',
  },
  {
    key: 'websocket.maxFragments',
    greatest: 'The most fragments of a message were {v}, of {n} messages of clients',
    from: ['fragments'],
    unit: 'count',
    margin: 4,
    least: 16,
    most: 1_000_000,
    what: 'messages of clients',
    protocol: 'http',
  },
  {
    key: 'http.maxHeader',
    greatest: 'The largest of {n} heads had {v}',
    from: ['requestHead', 'answerHead'],
    unit: 'bytes',
    margin: 2,
    least: 8 * KIB,
    most: 1024 * KIB,
    what: 'heads',
    protocol: 'http',
  },
  {
    key: 'http.maxBody',
    greatest: 'The largest of {n} bodies of requests had {v}',
    from: ['requestBody'],
    unit: 'bytes',
    margin: 4,
    least: 64 * KIB,
    most: 1024 * GIB,
    what: 'bodies of requests',
    protocol: 'http',
  },
  {
    key: 'limits.connections',
    greatest: 'At the most {v} connections were open at a time, looked at whenever one of {n} began',
    from: ['connections'],
    unit: 'count',
    margin: 2,
    least: 100,
    most: 1_000_000,
    what: 'new connections',
    protocol: 'both',
  },
  {
    key: 'limits.connectionsPerClient.max',
    greatest:
      'At the most {v} connections of one client were open at a time, looked at whenever one of {n} began',
    from: ['connectionsOfClient'],
    unit: 'count',
    margin: 2,
    least: 10,
    most: 1_000_000,
    what: 'new connections',
    protocol: 'both',
  },
  {
    key: 'limits.newConnections.rate',
    greatest: 'At the most {v} connections began within a second, of {n} seconds in which any did',
    from: ['newConnections'],
    unit: 'count',
    margin: 2,
    least: 10,
    most: 1_000_000,
    what: 'seconds with new connections',
    protocol: 'both',
    perClient: {
      from: ['newConnectionsOfClient'],
      greatest:
        'At the most {v} connections of one client began within a second, of {n} seconds in which one began any',
      what: 'seconds in which a client began connections',
    },
    burst: { key: 'limits.newConnections.burst', least: 100 },
  },
  {
    key: 'limits.bytes.rate',
    greatest: 'The fastest of {n} directions of connections moved {v} a second',
    from: ['bytesToUpstream', 'bytesToClient'],
    unit: 'bytes',
    margin: 2,
    least: 64 * KIB,
    most: 1024 * GIB,
    what: 'directions of connections',
    protocol: 'both',
    burst: { key: 'limits.bytes.burst', least: 1024 * KIB },
  },
  {
    key: 'limits.messages.rate',
    greatest: 'The fastest of {n} directions of connections carried {v} messages a second',
    from: ['messagesToUpstream', 'messagesToClient'],
    unit: 'count',
    margin: 2,
    least: 10,
    most: 1_000_000,
    what: 'directions of connections with messages',
    protocol: 'http',
    burst: { key: 'limits.messages.burst', least: 100 },
  },
  {
    key: 'deadlines.idle',
    greatest: 'The longest silence of {n} connections that spoke again was {v}',
    from: ['quiet'],
    unit: 'ms',
    margin: 2,
    least: 60 * SECOND,
    most: 10 * DAY,
    what: 'connections that were quiet and spoke again',
    protocol: 'both',
  },
  {
    key: 'deadlines.clientIdle',
    greatest: 'The longest silence of the client in {n} connections that went on was {v}',
    from: ['quietClient'],
    unit: 'ms',
    margin: 2,
    least: 300 * SECOND,
    most: 10 * DAY,
    what: 'connections that went on after a silence of the client',
    protocol: 'both',
    below: 'deadlines.idle',
  },
  {
    key: 'deadlines.upstreamIdle',
    greatest: 'The longest silence of the service in {n} connections that went on was {v}',
    from: ['quietUpstream'],
    unit: 'ms',
    margin: 2,
    least: 300 * SECOND,
    most: 10 * DAY,
    what: 'connections that went on after a silence of the service',
    protocol: 'both',
    below: 'deadlines.idle',
  },
  {
    key: 'websocket.slowConsumer.queue',
    greatest: 'The most that waited for the client of one of {n} connections was {v}',
    from: ['queuedForClient'],
    unit: 'bytes',
    margin: 4,
    least: 64 * KIB,
    most: GIB,
    what: 'connections in which anything waited for the client',
    protocol: 'http',
    isFor: (listener) =>
      at(listener, 'websocket.mode') === 'messages' &&
      at(listener, 'websocket.slowConsumer.policy') !== 'wait',
  },
  {
    key: 'deadlines.write',
    greatest: 'The longest stall of {n} peers that went on was {v}',
    from: ['stallClient', 'stallUpstream'],
    unit: 'ms',
    margin: 3,
    least: 10 * SECOND,
    most: DAY,
    what: 'peers that took nothing for a while and went on',
    protocol: 'both',
  },
  {
    key: 'deadlines.halfClose',
    greatest: 'The longest silence of {n} half-closed connections that went on was {v}',
    from: ['quietHalfClosed'],
    unit: 'ms',
    margin: 3,
    least: 10 * SECOND,
    most: DAY,
    what: 'connections that went on after one side had ended',
    protocol: 'tcp',
  },
  {
    key: 'deadlines.connect',
    greatest: 'The slowest of {n} dials took {v}',
    from: ['connect'],
    unit: 'ms',
    margin: 5,
    least: SECOND,
    most: 60 * SECOND,
    what: 'dials',
    protocol: 'both',
    notBelow: 'upstream.retryFor',
  },
  {
    key: 'deadlines.handshake',
    greatest: 'The slowest of {n} handshakes took {v}',
    from: ['handshake'],
    unit: 'ms',
    margin: 3,
    least: 5 * SECOND,
    most: 300 * SECOND,
    what: 'handshakes',
    protocol: 'both',
  },
  {
    key: 'deadlines.response',
    greatest: 'The slowest of {n} answers began after {v}',
    from: ['answer'],
    unit: 'ms',
    margin: 3,
    least: 5 * SECOND,
    most: DAY,
    what: 'answers',
    protocol: 'http',
  },
  {
    key: 'websocket.ping.timeout',
    greatest: 'The slowest of {n} pongs took {v}',
    from: ['pong'],
    unit: 'ms',
    margin: 5,
    least: 5 * SECOND,
    most: 300 * SECOND,
    what: 'pongs',
    protocol: 'http',
    notAbove: 'websocket.ping.interval',
  },
]
