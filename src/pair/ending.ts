// The end of a pair after its Close: the pair parts from each peer by itself (leave.ts), in the manner that
// `mannerFor` chooses.
//
//     close --> both leave --> both descriptors are gone
//           --> hearing: the upstream gets its goodbye, and its answers to bytes accepted before go on to the client.
//               The client's goodbye follows them, or comes after `closeMs`, or where the upstream goes over a limit
//
// If bytes are dropped after all, the record says how many, and the end is not `eof`. If none are, and
// nothing else was owed, nobody misses anything, and the record says that, too (`isCut`).

import { closeFromError, isForced, makeClose } from '../core/close.ts'
import type { Close, PeerSide } from '../core/close.ts'
import { letReturn } from '../core/connection.ts'
import type { Connection } from '../core/connection.ts'
import { describeManner, mannerFor } from '../core/manner.ts'
import { note, noteTold } from '../core/timeline.ts'
import { bugDetail } from '../core/errors.ts'
import { counted } from '../core/wait.ts'
import type { Strain } from '../core/strain.ts'
import type { MinRate } from '../limits/min-rate.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { Dialogue } from './dialogue.ts'
import type { Half } from './half.ts'
import { Leave } from './leave.ts'
import type { Patience } from './leave.ts'
import { owed } from './owed.ts'
import type { PairOptions } from './pair-options.ts'

export interface EndingParts {
  connection: Connection
  toUpstream: Half
  toClient: Half
  dialogue: Dialogue | null
  lastWord: Half | null
  options: PairOptions
  now: () => number
}

export class Ending {
  readonly #parts: EndingParts
  readonly #close: Close
  readonly #client: Leave
  readonly #upstream: Leave
  /** Since when the upstream is heard out; null before, and once the client's goodbye is sent. */
  #hearsSince: number | null = null
  /** A peer misses bytes that its parting was to deliver. */
  #isLost: boolean
  /** How much of a request may still come that nobody wants; null where none may. */
  #unwanted: number | null = null
  /** Some of it has come since the last sweep. */
  #hasDropped = false
  /** Bytes received before the end: what opaque bytes follow them go nowhere. */
  readonly #received: number

  /** `close` chooses the manners; the record already has its own wording of it. */
  constructor(parts: EndingParts, close: Close) {
    const now = parts.now()
    const { connection, toUpstream, toClient, lastWord, dialogue } = parts
    const rest = close.side === 'sidegate' ? owed(toUpstream, toClient, lastWord, dialogue) : 'nothing'
    connection.isCut = rest !== 'nothing'
    this.#isLost = rest === 'more' || isForced(close)
    this.#received = receivedOf(parts)
    this.#parts = parts
    this.#close = close
    this.#client = new Leave(parts.toClient, now)
    this.#upstream = new Leave(parts.toUpstream, now)
  }

  begin(): void {
    const { connection, dialogue, toClient, toUpstream, now } = this.#parts
    letReturn(connection)
    this.#unwanted = dialogue?.unwanted?.(this.#close) ?? null
    if (this.#unwanted === null) toUpstream.leave()
    else toUpstream.neglect()
    if (!toClient.sink.isClosed && dialogue?.hearOut?.(this.#close) === true) {
      this.#hearsSince = now()
      toClient.sink.pause()
    } else {
      toClient.leave()
      this.#part(this.#client)
    }
    this.#part(this.#upstream)
  }

  #part(leave: Leave): void {
    const { half } = leave
    if (half.sink.isClosed) return
    const { connection, dialogue, now } = this.#parts
    const farewell = dialogue?.farewell(half, this.#close) ?? 'nothing'
    const manner = mannerFor(this.#close, half.sink.side, farewell, half.hasEnded)
    const words = describeManner(this.#close, half.sink.side, farewell, manner)
    noteTold(connection, half.sink.side, words, now())
    leave.begin(manner, farewell === 'awaited', now())
  }

  /** Whether `half` still relays, because the upstream is heard out. */
  isHearing(half: Half): boolean {
    return this.#hearsSince !== null && half === this.#parts.toClient
  }

  /**
   * Whether `half` is read, because its upstream is heard out, or because its client owes what nobody wants.
   */
  isReading(half: Half): boolean {
    return this.isHearing(half) || (this.#unwanted !== null && half === this.#parts.toUpstream)
  }

  get #isOwed(): boolean {
    return this.#unwanted !== null && this.#unwanted > 0
  }

  /** The upstream's last answer has come, or none will come. */
  #tellClient(): void {
    if (this.#hearsSince === null) return
    this.#hearsSince = null
    const { toClient, toUpstream } = this.#parts
    toClient.leave()
    this.#part(this.#client)
    if (!toUpstream.sink.isClosed) toUpstream.sink.resume()
  }

  /**
   * A later cause. One that cannot wait ends the pair at once. A limit that the heard upstream goes over has
   * left bytes out: nothing may follow the gap.
   */
  onClose(close: Close): void {
    if (isForced(close)) this.giveUp(close)
    else if (close.side === 'upstream') this.#tellClient()
  }

  onBytes(half: Half, bytes: Buffer, length: number): boolean {
    const { dialogue } = this.#parts
    if (this.isHearing(half)) {
      const mayRead = half.relay(bytes, length)
      if (dialogue!.hasHeardOut !== true) return mayRead
      this.#tellClient()
      half.source.conclude()
      return true
    }
    // Nobody can use the client's bytes any more, and its answer is not due yet.
    if (this.#hearsSince !== null) {
      half.flow.received += length
      return false
    }
    if (half === this.#parts.toUpstream && this.#isOwed) {
      this.#unwanted! -= length
      this.#hasDropped = true
      return half.drop(length)
    }
    if (half === this.#parts.toClient && this.#hasNoReader) this.#upstream.hasten(this.#parts.now())
    return half.hear(bytes, length)
  }

  /**
   * A client that had ended its half has reset: its service has been handed everything, and FIN, and may
   * take its time with that. The gate drops all that it sends.
   */
  get #hasNoReader(): boolean {
    return this.#close.reason === 'reset' && this.#parts.dialogue === null
  }

  /** A meter or a sink lets the heard half go on. */
  onHeard(): void {
    if (this.#parts.dialogue!.hasHeardOut === true) this.#tellClient()
  }

  onEnd(endpoint: Endpoint): void {
    endpoint.end()
    if (endpoint.side === 'upstream') this.#tellClient()
  }

  onClosed(endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    if (endpoint.side === 'upstream') this.#tellClient()
    else this.#hearsSince = null
    const leave = endpoint.side === 'client' ? this.#client : this.#upstream
    if (error !== null && endpoint.side === 'client') this.#isLost = true
    if (leave.isGivenUp || !this.#isShort(leave)) return
    const cause =
      error === null
        ? makeClose('aborted', endpoint.side, 'close', 'closed before it took all')
        : closeFromError(error, endpoint.side, 'close')
    this.#onDropped(endpoint.side, endpoint.queued, cause)
  }

  sweep(now: number, minRate: MinRate | null, { isWatching }: Pick<Strain, 'isWatching'>): void {
    const { closeMs } = this.#parts.options.deadlines.current
    if (this.#hearsSince !== null && now - this.#hearsSince >= closeMs) this.#tellClient()
    const slow = minRate?.check(this.#isOwed, false, now) ?? null
    if (this.#hasDropped || (this.#isOwed && this.#parts.toUpstream.isDelayed)) this.#client.keepUp(now)
    this.#hasDropped = false
    if (slow !== null) this.#giveUp(slow.side === 'client' ? this.#client : this.#upstream, slow)
    for (const leave of [this.#client, this.#upstream]) {
      if (isWatching) leave.lookCloser()
      if (leave.sweep(this.#patienceWith(leave), now)) this.#giveUp(leave, this.#tookNothing(leave))
    }
  }

  #patienceWith(leave: Leave): Patience {
    const { closeMs } = this.#parts.options.deadlines.current
    return { closeMs, owedMs: this.#owedMs, lastWord: this.#lastWord(leave) }
  }

  /**
   * After a peer left, or said all, its last bytes are owed to the other for `writeMs`, as while it was
   * there.
   */
  get #owedMs(): number {
    const { closeMs, writeMs } = this.#parts.options.deadlines.current
    const { reason } = this.#close
    if (!Number.isFinite(writeMs)) return closeMs
    if (reason === 'eof') return Math.max(closeMs, writeMs)
    return reason === 'reset' || reason === 'aborted' ? writeMs : closeMs
  }

  #tookNothing({ half }: Leave): Close {
    const owedMs = this.#owedMs
    const { closeMs } = this.#parts.options.deadlines.current
    const key = owedMs === closeMs ? 'deadlines.close' : 'deadlines.write'
    return makeClose(
      'write_timeout',
      half.sink.side,
      'close',
      `took none of its last bytes for ${(owedMs / 1000).toFixed(1)}s (${key})`,
    )
  }

  /** The end cannot wait any longer: both peers are reset, at once. */
  giveUp(cause: Close | null): void {
    this.#hearsSince = null
    this.#giveUp(this.#client, cause)
    this.#giveUp(this.#upstream, cause)
  }

  #giveUp(leave: Leave, cause: Close | null): void {
    const dropped = leave.giveUp(this.#lastWord(leave))
    if (dropped > 0) this.#isLost = true
    if (dropped > 0 && cause !== null) this.#onDropped(leave.half.sink.side, dropped, cause)
  }

  #lastWord({ half }: Leave): number {
    return this.#parts.dialogue?.lastWord?.(half) ?? 0
  }

  /** Both peers are gone, of which one has perhaps not been reported here. */
  conclude(): void {
    const { connection, dialogue } = this.#parts
    const hasMore = dialogue === null && receivedOf(this.#parts) !== this.#received
    if (!this.#isLost && !hasMore && ![this.#client, this.#upstream].some((leave) => this.#isShort(leave)))
      connection.isCut = false
  }

  /** How much the kernel held is unknown; the bytes queued here were not taken. */
  #isShort(leave: Leave): boolean {
    return leave.half.sink.queued > this.#lastWord(leave)
  }

  #onDropped(side: PeerSide, bytes: number, cause: Close): void {
    this.#isLost = true
    const { connection } = this.#parts
    if (cause.side === 'sidegate') connection.isCut = true
    const end = connection.end!
    note(connection, 'cut_short', this.#parts.now(), `${side}, ${counted(bytes, 'byte')}`)
    const dropped = `${counted(bytes, 'byte')} for the ${side} dropped`
    const why = cause.detail ?? cause.reason
    if (end.reason === 'eof')
      connection.end = { ...cause, detail: `${why}; ${dropped}, behind ${end.detail ?? 'eof'}` }
    else connection.end = { ...end, detail: `${end.detail ?? end.reason}; ${dropped}: ${why}` }
  }

  lastDrainAt(side: PeerSide, now: number): number {
    return (side === 'client' ? this.#client : this.#upstream).lastDrainAt(now)
  }

  /** When the first of the two partings is given up, if nothing moves any more. */
  get closesBy(): number {
    return Math.min(...[this.#client, this.#upstream].map((leave) => leave.dueAt(this.#patienceWith(leave))))
  }
}

function receivedOf({ connection: { toUpstream, toClient } }: EndingParts): number {
  return toUpstream.received + toClient.received
}

/** The end that was decided, with the bug of ours that came after it. */
export function alsoBroken(end: Close, error: unknown): Close {
  return { ...end, detail: `${end.detail ?? end.reason}; then internal_error: ${bugDetail(error)}` }
}
