// The last connections and refusals that ended, with their reasons: kept by the process, in memory alone, so
// that a recent complaint can be looked up without a log. It keeps at most `admin.recent` of them, each some
// hundred bytes and its timeline. The records are plain data; they become the admin server's view when an
// operator asks.
//
// An end is told from its decision on. A connection that still closes then is no memory of this file: the
// gate passes its record in with the question. An ingress that sends no FIN keeps a refused connection for
// as long as `deadlines.close`, and by then the operator has asked.
//
// Refusals are kept as the log reports them: the first of a kind at once, then one a second with a count. A
// flood of one kind pushes out at most one other record a second.
//
// Streams of HTTP/2 and connections of a single request end in order by the hundred a second, and would push
// out the one end that somebody complains of. So orderly ends and all others have half of the places each,
// and either has those that the other does not need.

import { isIP } from 'node:net'
import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import { Address } from '../core/address.ts'
import type { ClientAddress } from '../core/address.ts'
import type { Connection } from '../core/connection.ts'
import type { Story } from '../core/timeline.ts'
import type { RecentQuery } from '../admin/recent-route.ts'
import { endingAt } from '../core/timeline.ts'
import { viewTimeline } from '../admin/timeline-view.ts'
import type { RecentEnd } from '../admin/types.ts'
import { Fifo } from './fifo.ts'
import { clientMatcher } from './selection.ts'

/** The record of an end. */
interface Gone extends Story {
  /** The order of the ends; of no use where it still closes. */
  nth: number
  isClosing: boolean
  client: ClientAddress | null
  id: number | null
  listener: string
  protocol: string | null
  /** The peer, where that is not the client. */
  peer: string | null
  isCut: boolean
  count: number
  endedAt: number
  bytes: readonly [toUpstream: number, toClient: number]
  messages: readonly [toUpstream: number, toClient: number]
  end: Close
}

const unknownEnd: Close = { reason: 'internal_error', side: 'sidegate', phase: 'close' }
const NONE: readonly [number, number] = [0, 0]
const noBytes = { firstMs: -1 }

export class Recent {
  readonly #clock: Clock
  readonly #max: number
  readonly #orderly = new Fifo<Gone>()
  readonly #others = new Fifo<Gone>()
  #count = 0

  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#max = max
  }

  get size(): number {
    return this.#orderly.length + this.#others.length
  }

  /** Both sides of the connection are closed. */
  onClosed(connection: Connection): void {
    if (this.#max === 0) return
    this.#keep(this.#recordOf(connection, this.#clock.now()))
  }

  #recordOf(connection: Connection, endedAt: number, isClosing = false): Gone {
    const { toUpstream, toClient, end } = connection
    return {
      nth: isClosing ? -1 : this.#count++,
      isClosing,
      id: connection.id,
      listener: connection.listener,
      protocol: connection.protocol,
      client: connection.client,
      peer: connection.peer === connection.client ? null : connection.peer.text,
      upstreamAddress: connection.upstreamAddress,
      openedAt: connection.openedAt,
      admittedMs: connection.admittedMs,
      connectedAt: connection.connectedAt,
      toUpstream: { firstMs: toUpstream.firstMs },
      toClient: { firstMs: toClient.firstMs },
      timeline: connection.timeline,
      end: end ?? unknownEnd,
      isCut: connection.isCut,
      count: 1,
      endedAt,
      bytes: [toUpstream.received, toClient.received],
      messages: [toUpstream.messages, toClient.messages],
    }
  }

  /**
   * `count` refusals for the same reason; `client` is the last one, undefined where its address was not read.
   */
  onRefused(listener: string, end: Close, client: string | undefined, count: number): void {
    if (this.#max === 0) return
    const now = this.#clock.now()
    this.#keep({
      nth: this.#count++,
      isClosing: false,
      id: null,
      listener,
      protocol: null,
      client: client === undefined ? null : clientOf(client),
      peer: null,
      upstreamAddress: null,
      openedAt: now,
      admittedMs: 0,
      connectedAt: null,
      toUpstream: noBytes,
      toClient: noBytes,
      timeline: null,
      end,
      isCut: false,
      count,
      endedAt: now,
      bytes: NONE,
      messages: NONE,
    })
  }

  #keep(gone: Gone): void {
    const kind = gone.end.reason === 'eof' ? this.#orderly : this.#others
    kind.push(gone)
    if (this.size <= this.#max) return
    const longer = this.#orderly.length > this.#others.length ? this.#orderly : this.#others
    longer.dropOldest()
  }

  *#newestFirst(): Generator<Gone> {
    let [orderly, others] = [1, 1]
    for (;;) {
      const [one, other] = [this.#orderly.at(orderly), this.#others.at(others)]
      if (one === undefined && other === undefined) return
      if (other === undefined || (one !== undefined && one.nth > other.nth)) {
        yield one!
        orderly++
      } else {
        yield other
        others++
      }
    }
  }

  /** The newest first; `closing` are open connections whose end is decided. */
  view(query: RecentQuery, closing: readonly Connection[] = []): RecentEnd[] {
    const matches = matcher(query)
    const found = this.#max === 0 ? [] : this.#closing(closing).filter(matches)
    let kept = 0
    for (const gone of this.#newestFirst()) {
      if (kept === query.limit) break
      if (!matches(gone)) continue
      found.push(gone)
      kept++
    }
    return found
      .sort((one, other) => other.endedAt - one.endedAt)
      .slice(0, query.limit)
      .map((gone) => this.#view(gone))
  }

  #closing(connections: readonly Connection[]): Gone[] {
    return connections.map((one) => this.#recordOf(one, endingAt(one) ?? this.#clock.now(), true))
  }

  #view(gone: Gone): RecentEnd {
    const { end, openedAt, endedAt, connectedAt, isClosing } = gone
    const wallOf = (moment: number): number => this.#clock.wall() + moment - this.#clock.now()
    return {
      id: gone.id,
      listener: gone.listener,
      protocol: gone.protocol,
      client: gone.client?.text ?? null,
      peer: gone.peer,
      upstream: gone.upstreamAddress,
      reason: end.reason,
      side: end.side,
      phase: end.phase,
      detail: end.detail ?? null,
      cut: gone.isCut,
      closing: isClosing,
      count: gone.count,
      started: new Date(wallOf(openedAt)).toISOString(),
      ended: new Date(wallOf(endedAt)).toISOString(),
      durationMs: Math.round(endedAt - openedAt),
      connectMs: connectedAt === null ? null : Math.round(connectedAt - openedAt),
      bytesToUpstream: gone.bytes[0],
      bytesToClient: gone.bytes[1],
      messagesToUpstream: gone.messages[0],
      messagesToClient: gone.messages[1],
      timeline: gone.id === null ? [] : viewTimeline(gone, wallOf, isClosing ? null : endedAt),
    }
  }
}

function matcher({ reason, listener, client }: RecentQuery): (gone: Gone) => boolean {
  const isClient = client === null ? null : clientMatcher(client)
  return (gone) =>
    (reason ?? gone.end.reason) === gone.end.reason &&
    (listener ?? gone.listener) === gone.listener &&
    (isClient === null || (gone.client !== null && isClient(gone.client)))
}

/** The client of a refusal, which has but its words. */
function clientOf(text: string): ClientAddress {
  if (isIP(text) !== 0) return new Address(text, null)
  return Address.parse(text) ?? { ip: null, port: null, text }
}
