// The habits of one listener's connections, as distributions: how large, how fast, how long quiet. They are
// always on, and `sidegate advise` is made from them. They count at the events of a connection, and at its
// end the peaks that sweeps saw; the bytes themselves cost nothing more.
//
// Bounded: 27 distributions of 1.4 KB once they are used, and two tables for clients of 8 KB, which is less
// than 64 KB. Clients are counted by the hash of their address in 4,096 places; two that share one count as
// one, so such a number is too high, never too low.

import type { Connection, Direction, Observer } from '../core/connection.ts'
import type { Close, PeerSide } from '../core/close.ts'
import { LogCounts, noCounts, peakOf, sumCounts } from '../core/log-counts.ts'
import type { CountsData } from '../core/log-counts.ts'
import { note } from '../core/timeline.ts'
import type { Clock } from '../core/clock.ts'

/** Each with its unit and its subject. */
export const habitNames = {
  messageToUpstream: 'bytes of a WebSocket message of a client',
  messageToClient: 'bytes of a WebSocket message of the service',
  fragments: 'fragments of a message of a client',
  requestHead: 'bytes of the head of a request',
  answerHead: 'bytes of the head of an answer',
  requestBody: 'bytes of the body of a request',
  bytesToUpstream: 'bytes a second of a client, the most between two sweeps of its connection',
  bytesToClient: 'bytes a second of the service, likewise',
  messagesToUpstream: 'messages a second of a client, likewise',
  messagesToClient: 'messages a second of the service, likewise',
  connections: 'open connections, whenever one began',
  connectionsOfClient: 'open connections of its client, whenever one began',
  newConnections: 'new connections in a second that had any',
  newConnectionsOfClient: 'new connections of a client in a second in which it had any',
  quiet: 'milliseconds without data, the longest that ended in data again of a connection',
  quietClient:
    'milliseconds without data of the client, the longest until data of either side, of a connection',
  quietUpstream: 'milliseconds without data of the upstream, likewise',
  stallClient: 'milliseconds that the client took nothing and then went on, the longest of a connection',
  stallUpstream: 'milliseconds that the upstream took nothing and then went on, likewise',
  quietHalfClosed: 'milliseconds without data after one side had ended, likewise',
  queuedForClient: 'bytes that waited for the client at a sweep, the most of a connection',
  queuedForUpstream: 'bytes that waited for the upstream, likewise',
  connect: 'milliseconds until the upstream accepted',
  handshake:
    'milliseconds from the accept to a whole request head, or to the end of the TLS handshake where there is none',
  answer: 'milliseconds until the head of an answer',
  pong: 'milliseconds until a pong',
  lifetime: 'milliseconds that a connection lasted',
} as const satisfies Record<string, string>
export type HabitName = keyof typeof habitNames

/** The habits of one listener, as plain data. */
export interface HabitsData {
  listener: string
  /** Wall-clock milliseconds. */
  since: number
  counts: Partial<Record<HabitName, CountsData>>
  /** Connections that a key ended, by the key: the distribution shows nothing beyond it. */
  cuts: Record<string, number>
  /** How often a key delayed one: the distribution shows only as much as it let through. */
  delays: Record<string, number>
  /** For how many milliseconds open connections have been quiet so far; they may never speak again. */
  quietNow: CountsData
}

const PLACES = 4096
const SECOND = 1000
/** More than there are keys. */
const MAX_KEYS = 64

export class Habits {
  readonly listener: string
  readonly #clock: Clock
  readonly #counts = new Map<HabitName, LogCounts>()
  /** Kept at hand, since each message uses them. */
  readonly #messageToUpstream = this.#of('messageToUpstream')
  readonly #messageToClient = this.#of('messageToClient')
  readonly #fragments = this.#of('fragments')
  #since: number
  readonly #cuts = new Map<string, number>()
  readonly #delays = new Map<string, number>()
  #open = 0
  /** Connections of each client, and those that it opened in this second. */
  readonly #clients = new Uint16Array(PLACES)
  readonly #newcomers = new Uint16Array(PLACES)
  #secondAt: number
  #newInSecond = 0

  constructor(listener: string, clock: Clock) {
    this.listener = listener
    this.#clock = clock
    this.#since = clock.wall()
    this.#secondAt = clock.now()
  }

  add(name: HabitName, value: number): void {
    this.#of(name).add(value)
  }

  /** A message of a client. */
  addMessageToUpstream(bytes: number, fragments: number): void {
    this.#messageToUpstream.add(bytes)
    this.#fragments.add(fragments)
  }

  addMessageToClient(bytes: number): void {
    this.#messageToClient.add(bytes)
  }

  #of(name: HabitName): LogCounts {
    let counts = this.#counts.get(name)
    if (counts === undefined) this.#counts.set(name, (counts = new LogCounts()))
    return counts
  }

  /** A stream does not count here: limits on the number or age of connections count its connection. */
  onBegun({ client, session }: Connection): void {
    if (session !== null) return
    this.#turn()
    this.add('connections', ++this.#open)
    this.#newInSecond++
    if (client.ip === null) return
    const place = placeOf(client.ip)
    if (this.#clients[place]! < 0xffff) this.#clients[place]!++
    if (this.#newcomers[place]! < 0xffff) this.#newcomers[place]!++
    this.add('connectionsOfClient', this.#clients[place]!)
  }

  /** Adds the counts of a second once it is over. */
  #turn(): void {
    const now = this.#clock.now()
    if (now - this.#secondAt < SECOND) return
    if (this.#newInSecond > 0) this.add('newConnections', this.#newInSecond)
    for (const count of this.#newInSecond > 0 ? this.#newcomers : [])
      if (count > 0) this.add('newConnectionsOfClient', count)
    this.#newcomers.fill(0)
    this.#newInSecond = 0
    this.#secondAt = now
  }

  onClosed(connection: Connection): void {
    const { end, session } = connection
    if (session === null) this.#onGone(connection)
    if (end !== null && end.reason !== 'eof') this.onCut(end)
    eachPeak(connection, (name, index) => this.#of(name).addClass(index))
  }

  #onGone({ client, openedAt }: Connection): void {
    this.#open = Math.max(0, this.#open - 1)
    this.add('lifetime', this.#clock.now() - openedAt)
    if (client.ip === null) return
    const place = placeOf(client.ip)
    if (this.#clients[place]! > 0) this.#clients[place]!--
  }

  /** An end, or a refusal, whose detail may name a key. */
  onCut({ detail = '' }: Close): void {
    const key = /\b(?:deadlines|limits|websocket|http)\.\w+(?:\.\w+)*/.exec(detail)?.[0]
    if (key !== undefined && (this.#cuts.has(key) || this.#cuts.size < MAX_KEYS))
      this.#cuts.set(key, (this.#cuts.get(key) ?? 0) + 1)
  }

  onDelayed(key: string): void {
    this.#delays.set(key, (this.#delays.get(key) ?? 0) + 1)
  }

  /** All counts so far, and the share of the listener's open connections. */
  data(open: Iterable<Connection>): HabitsData {
    this.#turn()
    const living = new Map<HabitName, LogCounts>()
    const quietNow = new LogCounts()
    const now = this.#clock.now()
    for (const connection of open) {
      if (connection.listener !== this.listener) continue
      quietNow.add(Math.max(0, now - (connection.owner?.activeAt?.() ?? connection.openedAt)))
      eachPeak(connection, (name, index) => {
        let counts = living.get(name)
        if (counts === undefined) living.set(name, (counts = new LogCounts()))
        counts.addClass(index)
      })
    }
    const names = [...new Set([...this.#counts.keys(), ...living.keys()])]
    return {
      listener: this.listener,
      since: this.#since,
      counts: Object.fromEntries(
        names.map((name) => [
          name,
          sumCounts(this.#counts.get(name)?.data ?? noCounts, living.get(name)?.data ?? noCounts),
        ]),
      ),
      cuts: Object.fromEntries(this.#cuts),
      delays: Object.fromEntries(this.#delays),
      quietNow: quietNow.data,
    }
  }

  /** Begins anew; open connections stay counted as open. */
  reset(): void {
    for (const counts of this.#counts.values()) counts.reset()
    this.#cuts.clear()
    this.#delays.clear()
    this.#since = this.#clock.wall()
  }
}

/** The peaks of a flow, and of a connection, in the order of their slots. */
const peaksToUpstream = ['bytesToUpstream', 'messagesToUpstream', 'quietClient', 'stallUpstream'] as const
const peaksToClient = ['bytesToClient', 'messagesToClient', 'quietUpstream', 'stallClient'] as const
const peaksOfBoth = ['quiet', 'quietHalfClosed', 'queuedForClient', 'queuedForUpstream'] as const
const slots = [0, 1, 2, 3] as const
type TakePeak = (name: HabitName, index: number) => void

/** The peaks that sweeps saw of a connection, as classes; absent ones are left out. */
function eachPeak({ toUpstream, toClient, peaks }: Connection, take: TakePeak): void {
  eachOf(peaksToUpstream, toUpstream.peaks, take)
  eachOf(peaksToClient, toClient.peaks, take)
  eachOf(peaksOfBoth, peaks, take)
}

function eachOf(names: readonly HabitName[], peaks: number, take: TakePeak): void {
  if (peaks === 0) return
  for (const slot of slots) {
    const index = peakOf(peaks, slot)
    if (index > 0) take(names[slot]!, index)
  }
}

/** FNV-1a. */
function placeOf(ip: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < ip.length; index++) hash = Math.imul(hash ^ ip.charCodeAt(index), 0x01000193)
  return (hash >>> 8) & (PLACES - 1)
}

/** The sum of several gates; each gate counts simultaneous connections by itself. */
export function sumHabits(all: readonly HabitsData[]): HabitsData[] {
  const sums = new Map<string, HabitsData>()
  for (const one of all) {
    const sum = sums.get(one.listener)
    if (sum === undefined) {
      sums.set(one.listener, structuredClone(one))
      continue
    }
    sum.since = Math.min(sum.since, one.since)
    sum.quietNow = sumCounts(sum.quietNow, one.quietNow)
    for (const [name, counts] of Object.entries(one.counts) as [HabitName, CountsData][])
      sum.counts[name] = sumCounts(sum.counts[name] ?? noCounts, counts)
    for (const kind of ['cuts', 'delays'] as const)
      for (const [key, count] of Object.entries(one[kind])) sum[kind][key] = (sum[kind][key] ?? 0) + count
  }
  return [...sums.values()]
}

/** An observer that counts the habits of a listener's connections, and passes everything on to the next. */
export class HabitsObserver implements Observer {
  readonly habits: Habits
  readonly #next: Observer
  readonly #clock: Clock

  constructor(habits: Habits, next: Observer, clock: Clock) {
    this.habits = habits
    this.#next = next
    this.#clock = clock
  }

  onOpened(connection: Connection): void {
    const { protocol, admittedMs } = connection
    if (protocol === 'tcp' && admittedMs > 0) this.habits.add('handshake', admittedMs)
    this.#next.onOpened(connection)
  }

  onConnected(connection: Connection, dialMs: number): void {
    this.habits.add('connect', dialMs)
    this.#next.onConnected(connection, dialMs)
  }

  onConnectFailed(...failed: Parameters<Observer['onConnectFailed']>): void {
    this.#next.onConnectFailed(...failed)
  }

  onHead(connection: Connection, side: PeerSide, bytes: number): void {
    this.habits.add(side === 'client' ? 'requestHead' : 'answerHead', bytes)
    // `deadlines.handshake` bounds the first head from the accept on.
    if (side === 'client' && connection.phase !== 'relay')
      this.habits.add('handshake', this.#clock.now() - connection.openedAt)
    this.#next.onHead(connection, side, bytes)
  }

  onAnswer(connection: Connection, waitedMs: number): void {
    this.habits.add('answer', waitedMs)
    this.#next.onAnswer(connection, waitedMs)
  }

  onMessage(_connection: Connection, direction: Direction, bytes: number, fragments: number): void {
    if (direction === 'to_upstream') this.habits.addMessageToUpstream(bytes, fragments)
    else this.habits.addMessageToClient(bytes)
  }

  onPingSent(connection: Connection): void {
    this.#next.onPingSent(connection)
  }

  onPong(connection: Connection, rttMs: number): void {
    this.habits.add('pong', rttMs)
    this.#next.onPong(connection, rttMs)
  }

  onMessagesDropped(connection: Connection, policy: string, messages: number): void {
    note(connection, 'dropped', this.#clock.now(), policy === 'rate' ? 'limits.messages' : policy)
    this.#next.onMessagesDropped(connection, policy, messages)
  }

  onRequest(connection: Connection, request: Parameters<Observer['onRequest']>[1]): void {
    if (request.bodyBytes > 0) this.habits.add('requestBody', request.bodyBytes)
    this.#next.onRequest(connection, request)
  }

  onLimited(...limited: Parameters<Observer['onLimited']>): void {
    const [, limit, action, isEnforced] = limited
    if (action === 'delay' && isEnforced) this.habits.onDelayed(`limits.${limit}`)
    this.#next.onLimited(...limited)
  }

  onClosed(connection: Connection): void {
    this.#next.onClosed(connection)
  }
}
