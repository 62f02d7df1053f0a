// The last connections and refusals that ended, with their reasons: kept by the process, in memory alone, so
// that a recent complaint can be looked up without a log. It keeps at most `admin.recent` of them, each some
// hundred bytes and its timeline. The records are plain data; they become the admin server's view when an
// operator asks.
//
// Refusals are kept as the log reports them: the first of a kind at once, then one a second with a count. A
// flood of one kind pushes out at most one other record a second.

import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Story } from '../core/timeline.ts'
import type { RecentQuery } from '../admin/recent-route.ts'
import { viewTimeline } from '../admin/timeline-view.ts'
import type { RecentEnd } from '../admin/types.ts'
import { isAt } from './selection.ts'

/** The record of a connection that has ended. */
interface Gone extends Story {
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
  /** A ring once it is full; the oldest record is at `#next`. */
  readonly #gone: Gone[] = []
  #next = 0

  constructor(clock: Clock, max: number) {
    this.#clock = clock
    this.#max = max
  }

  get size(): number {
    return this.#gone.length
  }

  /** Both sides of the connection are closed. */
  onClosed(connection: Connection): void {
    if (this.#max === 0) return
    const { toUpstream, toClient, end } = connection
    this.#keep({
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
      endedAt: this.#clock.now(),
      bytes: [toUpstream.received, toClient.received],
      messages: [toUpstream.messages, toClient.messages],
    })
  }

  /**
   * `count` refusals for the same reason; `client` is the last one, undefined where its address was not read.
   */
  onRefused(listener: string, end: Close, client: string | undefined, count: number): void {
    if (this.#max === 0) return
    const now = this.#clock.now()
    this.#keep({
      id: null,
      listener,
      protocol: null,
      client: client === undefined ? null : { text: client },
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
    if (this.#gone.length < this.#max) return void this.#gone.push(gone)
    this.#gone[this.#next] = gone
    this.#next = (this.#next + 1) % this.#max
  }

  /** The newest first. */
  view(query: RecentQuery): RecentEnd[] {
    const found: RecentEnd[] = []
    const { length } = this.#gone
    for (let back = 1; back <= length && found.length < query.limit; back++) {
      const gone = this.#gone[(this.#next - back + 2 * length) % length]!
      if (matches(gone, query)) found.push(this.#view(gone))
    }
    return found
  }

  #view(gone: Gone): RecentEnd {
    const { end, openedAt, endedAt, connectedAt } = gone
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
      count: gone.count,
      started: new Date(wallOf(openedAt)).toISOString(),
      ended: new Date(wallOf(endedAt)).toISOString(),
      durationMs: Math.round(endedAt - openedAt),
      connectMs: connectedAt === null ? null : Math.round(connectedAt - openedAt),
      bytesToUpstream: gone.bytes[0],
      bytesToClient: gone.bytes[1],
      messagesToUpstream: gone.messages[0],
      messagesToClient: gone.messages[1],
      timeline: gone.id === null ? [] : viewTimeline(gone, wallOf, endedAt),
    }
  }
}

function matches(gone: Gone, { reason, listener, client }: RecentQuery): boolean {
  if ((reason ?? gone.end.reason) !== gone.end.reason || (listener ?? gone.listener) !== gone.listener)
    return false
  return client === null || (gone.client !== null && isAt(gone.client.text, client))
}
