// A pinger: asks one side of a WebSocket whether it is still there. TCP alone does not: a peer that vanished
// without FIN looks idle, and one that vanished behind a load balancer or a NAT stays that way for hours.
//
//     silent for `intervalMs` --> ping --> any byte from that side answers for it
//         a byte that it takes, or the ping not taken yet: the clock of the answer starts again
//         `timeoutMs` of the clock: a miss; `misses` in a row --> gone, if it has ever answered a ping
//         the ping did not even reach its host for `writeMs`, nor did anything else --> stalled, of either side
//
// Does not end: a side that is slow (the ping waits after data that it takes), one that computes for a minute
// and reads later, one that only sends, one that we do not read because the other side is slow, and one that
// knows no pings: only a side that has answered a ping is held to them. To learn this of a client in time,
// the first ping goes out even while the client talks. Bytes of our own pings that a side takes prove nothing
// but the way to it: a load balancer takes them for a client that is gone.
//
// Prior art: engine.io 25 s / 20 s, uWebSockets' sendPingsAutomatically; three misses as TCP keep-alive and
// HAProxy's `fall`.

import type { PeerSide } from '../core/close.ts'
import type { Live } from '../core/live.ts'
import { nodeCrypto } from '../core/late.ts'
import { LookPatience } from '../endpoint/look-patience.ts'
import { Drainable } from './taking.ts'
import type { Taker } from './taking.ts'

export interface PingOptions {
  /** Milliseconds; Infinity is off. */
  readonly intervalMs: number
  readonly timeoutMs: number
  /** How many pings in a row a side leaves unanswered before it counts as gone. */
  readonly misses: number
  readonly to: 'client' | 'upstream' | 'both'
}

/** The pinged side, as a sweep sees it. */
export interface Seen {
  /** Bytes received from it, and bytes sent to it. */
  received: number
  sent: number
  /** We do not read it. */
  isBlind: boolean
  sink: Taker
  /** How long it may take nothing of its queue, in milliseconds. */
  writeMs: number
}

/** The mark of this process's pings, which tells their pongs from those that applications wait for. */
const mark = Buffer.alloc(4)
let isMarked = false
const PAYLOAD = 8

/** An end this soon after a ping of ours may be its effect. */
const SOON_MS = 1000

export class Pinger {
  readonly side: PeerSide
  readonly #live: Live<{ ping: PingOptions }>
  readonly #startedAt: number
  #received = 0
  #heardAt: number
  #askedAt: number | null = null
  #isAwaited = false
  #sequence = 0
  #hasAnswered = false
  #missed = 0
  /** When our last ping was sent; null once it is answered. */
  #sentAt: number | null = null
  /** Where the awaited ping ends in the sent bytes, and how many of all sent bytes are our own pings. */
  #endsAt = 0
  #ownBytes = 0
  #taking: Drainable | null = null
  /** When to look next; whether only one more look is missing before the verdict; for how many sweeps. */
  #lookAt = 0
  #isConfirming = false
  #patience: LookPatience | null = null
  /** Whether the kernel has answered about the awaited ping; the side took it; it reached the host. */
  #isSeen = false
  #isTaken = false
  #isReached = false
  /** The time for an answer counts from `#clockAt`; at `#reachedAt` bytes of ours last reached its host. */
  #clockAt = 0
  #reachedAt = 0
  /** How far the side has come: in data, ever; and in all sent bytes, since the ping. */
  #dataTaken: number | null = null
  #reached: number | null = null
  /**
   * A ping of the other side is under way: its pong will do, and a ping of ours could swallow that pong (RFC
   * 6455 section 5.5.3).
   */
  hasForeignPing = false

  constructor(side: PeerSide, live: Live<{ ping: PingOptions }>, now: number) {
    this.side = side
    this.#live = live
    this.#startedAt = this.#heardAt = now
  }

  get #options(): PingOptions {
    return this.#live.current.ping
  }

  /** Whether this side gets pings at all. */
  get isAsked(): boolean {
    const { to } = this.#options
    return to === 'both' || to === this.side
  }

  sweep(seen: Seen, now: number): 'ask' | 'gone' | 'stalled' | null {
    if (seen.received !== this.#received || seen.isBlind) this.#hear(seen.received, now)
    const verdict = this.#isAwaited ? this.#judge(seen, now) : null
    if (verdict !== null || this.#isAwaited || seen.isBlind) return verdict
    return now - this.#quietSince >= this.#options.intervalMs ? 'ask' : null
  }

  /** How many pings in a row the side left unanswered. */
  get missed(): number {
    return this.#missed
  }

  #hear(received: number, now: number): void {
    this.#received = received
    this.#heardAt = now
    this.#isAwaited = false
    this.#missed = 0
  }

  get #quietSince(): number {
    if (this.#askedAt === null) return this.side === 'client' ? this.#startedAt : this.#heardAt
    return Math.max(this.#heardAt, this.#askedAt)
  }

  #judge(seen: Seen, now: number): 'gone' | 'stalled' | null {
    const { timeoutMs, misses } = this.#options
    const isLookDue = this.#isConfirming || (now >= this.#lookAt && now - this.#askedAt! >= timeoutMs / 4)
    const hasLooked = isLookDue && this.#look(seen, now)
    if (hasLooked && !this.#isReached && now - this.#reachedAt >= seen.writeMs) return 'stalled'
    if (now - this.#clockAt < timeoutMs) this.#isConfirming = false
    else if (!this.#isConfirming) this.#confirm(seen.sent)
    // Every wait keeps its bound, also where the kernel's answers do not come.
    else if (hasLooked || (this.#patience ??= new LookPatience()).isOver(now)) {
      this.#isConfirming = false
      // A ping that did not even reach the host cannot be answered; `write` bounds that wait.
      if (hasLooked && !this.#isReached) return null
      this.#isAwaited = false
      return this.#hasAnswered && ++this.#missed >= misses ? 'gone' : null
    }
    return null
  }

  /** The last look may be seconds old, and the side may have taken the ping since: one more look decides. */
  #confirm(sent: number): void {
    this.#isConfirming = true
    this.#patience = null
    this.#taking?.note(sent)
  }

  /** Returns true with an answer of the kernel. */
  #look(seen: Seen, now: number): boolean {
    const taking = (this.#taking ??= new Drainable(this.#endsAt))
    if (!taking.look(seen.sink, seen.sent)) return false
    const wasWaiting = this.#isSeen && !this.#isTaken
    this.#isTaken = taking.hasTakenAll || taking.taken >= this.#endsAt
    this.#isReached = taking.hasReachedAll || taking.reached >= this.#endsAt
    this.#isSeen = true
    this.#lookAt = now + this.#options.timeoutMs / 4
    if (wasWaiting || !this.#isTaken) this.#clockAt = now
    if (!taking.isKnown) return true
    if (this.#reached !== null && taking.reached > this.#reached) this.#reachedAt = now
    this.#reached = Math.max(this.#reached ?? taking.reached, taking.reached)
    const [before, own] = this.#isTaken
      ? [taking.taken, this.#ownBytes]
      : [Math.min(taking.taken, this.#endsAt - this.#size), this.#ownBytes - this.#size]
    this.#creditData(before - own, now)
    return true
  }

  /** A byte that the side takes is as good as one that it sends, but the answer to the ping is still due. */
  #creditData(bytes: number, now: number): void {
    if (this.#dataTaken !== null && bytes > this.#dataTaken) {
      this.#clockAt = now
      this.#missed = 0
    }
    this.#dataTaken = Math.max(this.#dataTaken ?? bytes, bytes)
  }

  /** The bytes of one of our pings to that side, on the wire. */
  get #size(): number {
    return PAYLOAD + (this.side === 'client' ? 2 : 6)
  }

  /** When the side will count as gone unless we hear from it; Infinity while it owes no answer. */
  get dueAt(): number {
    const { intervalMs, timeoutMs, misses } = this.#options
    if (!this.isAsked || !this.#hasAnswered || (!this.#isAwaited && this.#missed === 0))
      return Number.POSITIVE_INFINITY
    const clockAt = this.#isAwaited ? this.#clockAt : this.#askedAt! + intervalMs
    return clockAt + timeoutMs + Math.max(0, misses - this.#missed - 1) * intervalMs
  }

  /** The payload of a ping that is sent now, after `sent` bytes. */
  ask(now: number, sent: number): Buffer {
    this.#ownBytes += this.#size
    this.expect(now, sent + this.#size)
    this.#sentAt = now
    this.#sequence = (this.#sequence + 1) >>> 0
    const payload = Buffer.alloc(PAYLOAD)
    if (!isMarked) nodeCrypto().randomFillSync(mark)
    isMarked = true
    mark.copy(payload)
    payload.writeUInt32BE(this.#sequence, 4)
    return payload
  }

  /** From now on an answer is due, to a ping that lies before `endsAt` in the sent bytes. */
  expect(now: number, endsAt: number): void {
    this.#askedAt = this.#clockAt = this.#reachedAt = now
    this.#isAwaited = true
    this.#endsAt = endsAt
    this.#taking?.note(endsAt)
    this.#isSeen = this.#isTaken = this.#isReached = this.#isConfirming = false
    this.#reached = null
    this.#lookAt = now
  }

  /**
   * Whether a pong answers a ping of ours: null if not; else `rttMs` is the round trip of the last ping, null
   * for an older one.
   */
  isOurs(payload: Buffer, now: number): { rttMs: number | null } | null {
    // An unsolicited pong (a heartbeat of its own) does not show how the side takes pings.
    this.#hasAnswered ||= this.hasForeignPing
    this.hasForeignPing = false
    if (payload.length !== PAYLOAD || payload.compare(mark, 0, 4, 0, 4) !== 0) return null
    this.#hasAnswered = true
    const isLast = payload.readUInt32BE(4) === this.#sequence && this.#sentAt !== null
    const rttMs = isLast ? now - this.#sentAt! : null
    if (isLast) this.#sentAt = null
    return { rttMs }
  }

  /** Whether we sent a ping within the second before `at`, without an answer so far. */
  hasJustAsked(at: number): boolean {
    return this.#sentAt !== null && at - this.#sentAt <= SOON_MS
  }
}
