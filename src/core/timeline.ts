// The timeline of one connection: its notable events in order, for a later question. The first notable event
// makes it: a connection without one has no timeline, and the facts in every record (accept, upstream, first
// bytes, end) are not noted again.
//
//     note --> same as one of the last two? --> counted there           held back, let go, held back, let go: two lines
//                    |no
//                    +--> the first HEAD lines, [ folded: so many ], the last TAIL lines

import { bySide } from './close.ts'
import type { Close, PeerSide } from './close.ts'

/** Each event with the meaning of its `detail`. */
export const timelineEvents = {
  accepted: 'the accept',
  admitted: 'PROXY header, access list and TLS handshake were passed',
  connect_failed: 'a dial failed: the address, and why',
  connected: 'the upstream side stood: its address',
  first_byte_from_client: 'the first byte of data of the client, behind any head of an upgrade',
  first_byte_from_upstream: 'the first byte of data of the upstream',
  held_back: 'a sender is not read, since the other side does not keep up: which one',
  let_go: 'that sender is read again',
  stalled: 'a peer takes nothing of what waits for it: which one',
  went_on: 'a peer that was stalled took something',
  quiet: 'data came again after a long silence: how long, and of which deadline',
  ping_missed: 'a ping was left unanswered: by which side',
  limited: 'a limit acted, or would have: on which side, its key, what it did',
  dropped: 'messages were dropped: by which policy or limit',
  postponed: 'an end waits for a good moment: its reason',
  folded: 'so many other lines stood here',
  ending: 'the end was decided: reason, side and detail',
  told: 'a peer was told: which one, and how',
  cut_short: 'a peer did not take its last bytes: which one, how many',
  ended: 'both sides are gone',
} as const satisfies Record<string, string>
export type TimelineEvent = keyof typeof timelineEvents

/** States that are noted again for as long as they last; a repetition does not raise their count. */
const lasting: ReadonlySet<TimelineEvent> = new Set(['stalled', 'postponed'])

/** One line. */
export interface Noted {
  /** Milliseconds from the accept to the first occurrence, and to the last. */
  readonly afterMs: number
  readonly lastMs: number
  readonly event: TimelineEvent
  readonly detail: string | null
  /** Occurrences from `afterMs` to `lastMs`. */
  readonly count: number
}

type Line = { -readonly [key in keyof Noted]: Noted[key] }

/** Together with the facts of every record, a timeline has at most 32 lines. */
export const MAX_LINES = 32
const HEAD = 10
const TAIL = 14

export class Timeline {
  readonly #head: Line[] = []
  readonly #tail: Line[] = []
  #folded: Line | null = null

  /**
   * The sides whose last line of this kind says held back (or stalled); null until the first such line, as in
   * most timelines.
   */
  #heldBack: Set<string | null> | null = null
  #stalled: Set<string | null> | null = null

  isHeldBack(side: PeerSide): boolean {
    return this.#heldBack?.has(side) === true
  }

  isStalled(side: PeerSide): boolean {
    return this.#stalled?.has(side) === true
  }

  note(event: TimelineEvent, afterMs: number, detail: string | null): void {
    this.#remember(event, detail)
    const same = this.#same(1, event, detail) ?? this.#same(2, event, detail)
    if (same !== null) {
      same.lastMs = afterMs
      if (!lasting.has(event)) same.count++
      return
    }
    const line = { afterMs, lastMs: afterMs, event, detail, count: 1 }
    if (this.#head.length < HEAD) return void this.#head.push(line)
    this.#tail.push(line)
    if (this.#tail.length > TAIL) this.#fold(this.#tail.shift()!)
  }

  #remember(event: TimelineEvent, side: string | null): void {
    if (event === 'held_back') (this.#heldBack ??= new Set()).add(side)
    else if (event === 'let_go') this.#heldBack?.delete(side)
    else if (event === 'stalled') (this.#stalled ??= new Set()).add(side)
    else if (event === 'went_on') this.#stalled?.delete(side)
  }

  /** The line `back` places from the end, if it has the same event and detail. */
  #same(back: number, event: TimelineEvent, detail: string | null): Line | null {
    const line =
      this.#tail.at(-back) ?? (this.#tail.length < back ? this.#head.at(this.#tail.length - back) : null)
    return line != null && line.event === event && line.detail === detail ? line : null
  }

  #fold(line: Noted): void {
    this.#folded ??= { ...line, event: 'folded', detail: null, count: 0 }
    this.#folded.lastMs = Math.max(this.#folded.lastMs, line.lastMs)
    this.#folded.count += line.count
  }

  get lines(): readonly Noted[] {
    return [...this.#head, ...(this.#folded === null ? [] : [this.#folded]), ...this.#tail]
  }
}

/** Writes a line for `connection`; `now` is the Clock's. */
export function note(
  connection: Pick<Recorded, 'openedAt' | 'timeline'>,
  event: TimelineEvent,
  now: number,
  detail: string | null = null,
): void {
  connection.timeline ??= new Timeline()
  connection.timeline.note(event, Math.max(0, Math.round(now - connection.openedAt)), detail)
}

interface Recorded {
  readonly openedAt: number
  readonly upstreamAddress: string | null
  timeline: Timeline | null
}

/** The Close of a connection was decided. */
export function noteEnding(connection: Recorded, close: Close, now: number): void {
  const { reason, side, detail } = close
  note(connection, 'ending', now, `${reason} ${bySide(side)}${detail === undefined ? '' : `: ${detail}`}`)
}

/** When the end was decided, by the Clock; null before that. */
export function endingAt({ openedAt, timeline }: Pick<Recorded, 'openedAt' | 'timeline'>): number | null {
  const line = timeline?.lines.findLast(({ event }) => event === 'ending')
  return line === undefined ? null : openedAt + line.lastMs
}

/** What a peer got at the end; null where nobody is there. */
export function noteTold(connection: Recorded, side: PeerSide, words: string | null, now: number): void {
  if (words !== null) note(connection, 'told', now, `the ${side}: ${words}`)
}

/** A dial of its upstream address failed. */
export function noteFailedDial(connection: Recorded, { reason, detail }: Close, now: number): void {
  const why = detail === undefined ? reason : `${reason} (${detail})`
  note(connection, 'connect_failed', now, `${connection.upstreamAddress}: ${why}`)
}

/** The parts of a connection that tell its whole story. */
export interface Story {
  readonly client: { readonly text: string } | null
  readonly upstreamAddress: string | null
  readonly openedAt: number
  readonly admittedMs: number
  readonly connectedAt: number | null
  readonly toUpstream: { readonly firstMs: number }
  readonly toClient: { readonly firstMs: number }
  readonly timeline: Timeline | null
  readonly end: Close | null
}

/** The facts of the record and the noted events, in order of time; `endedAt` is null while it is open. */
export function storyOf(connection: Story, endedAt: number | null): Noted[] {
  const lines = [...known(connection), ...(connection.timeline?.lines ?? [])]
  // The sort is stable: events of one millisecond stay in the order of this list.
  lines.sort((one, other) => one.afterMs - other.afterMs)
  const { end, openedAt } = connection
  if (endedAt !== null)
    lines.push(once('ended', endedAt - openedAt, end === null ? null : `${end.reason} ${bySide(end.side)}`))
  return lines
}

function known(connection: Story): Noted[] {
  const { client, openedAt, admittedMs, connectedAt, upstreamAddress, toUpstream, toClient } = connection
  const lines = [once('accepted', 0, client?.text ?? null)]
  if (admittedMs > 0) lines.push(once('admitted', admittedMs))
  if (connectedAt !== null) lines.push(once('connected', connectedAt - openedAt, upstreamAddress))
  if (toUpstream.firstMs >= 0) lines.push(once('first_byte_from_client', toUpstream.firstMs))
  if (toClient.firstMs >= 0) lines.push(once('first_byte_from_upstream', toClient.firstMs))
  return lines
}

function once(event: TimelineEvent, afterMs: number, detail: string | null = null): Noted {
  return { afterMs, lastMs: afterMs, event, detail, count: 1 }
}
