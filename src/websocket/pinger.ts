// Asks one side of a WebSocket whether it is still there. TCP alone does not: a peer that vanished without FIN looks idle, and one
// that vanished behind a load balancer or a NAT stays that way for hours.
//
//     silent for `intervalMs` --> ping --> any byte from that side answers for it
//         a byte that it takes, or the ping not taken yet: the clock of the answer starts again
//         `timeoutMs` of the clock: a miss; `misses` in a row --> gone, if it has ever answered a ping
//         the ping did not even reach its host for `writeMs`, nor did anything else --> stalled, of either side
//
// Does not end: a side that is slow (the ping waits after data that it takes), one that computes for a minute and reads later, one
// that only sends, one that we do not read because the other side is slow, and one that knows no pings: only a side that has answered
// one is held to them. So that this is known of a client in time, the first ping goes out though it talks. Of the bytes of our own pings
// only the way is judged: a load balancer takes them for a client that is gone.
//
// Prior art: engine.io 25 s / 20 s, uWebSockets' sendPingsAutomatically; three misses as TCP keep-alive and HAProxy's `fall`.

import type { PeerSide } from '../core/close.ts'
import type { Live } from '../core/live.ts'
import { nodeCrypto } from '../core/node-lazy.ts'
import { PATIENT_SWEEPS } from '../endpoint/kernel-queue.ts'
import { Drainable } from './taking.ts'
import type { Taker } from './taking.ts'

export interface PingOptions {
  /** Milliseconds; Infinity is off. */
  readonly intervalMs: number
  readonly timeoutMs: number
  /** So many pings in a row are left unanswered by a side that is gone. */
  readonly misses: number
  readonly to: 'client' | 'upstream' | 'both'
}

/** That side as a sweep sees it. */
export interface Seen {
  /** Bytes that came from it, and bytes that were sent to it. */
  received: number
  sent: number
  /** It is not being read. */
  isBlind: boolean
  sink: Taker
  /** Milliseconds that it may take nothing of what is sent to it. */
  writeMs: number
}

/** Marks pings of this process, so that their pongs can be told from those that applications wait for. */
const mark = Buffer.alloc(4)
let isMarked = false
const PAYLOAD = 8

/** An end so soon after a ping of ours may have come of it. */
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
  /** When the last ping of ours was sent; null once it is answered. */
  #sentAt: number | null = null
  /** Where the ping that is awaited ends in what was sent, and how much of that are pings of ours. */
  #endsAt = 0
  #ownBytes = 0
  #taking: Drainable | null = null
  /** When it is looked at next; its wait seems to be over, and one more look decides; for so many sweeps. */
  #lookAt = 0
  #isConfirming = false
  #sweepsDue = 0
  /** The kernel told of the ping that is awaited, and what. */
  #isSeen = false
  #isTaken = false
  #isReached = false
  /** From here on the time for an answer counts; here something of ours last reached its host. */
  #clockAt = 0
  #reachedAt = 0
  /** How far it was seen in data, ever, and in all that was sent, since it was asked. */
  #dataTaken: number | null = null
  #reached: number | null = null
  /** A ping of the other side is on its way there: its pong will do, and one of ours could swallow it (RFC 6455 section 5.5.3). */
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

  /** Pings in a row that it left unanswered. */
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
    // Every wait has a bound, also where the answers do not come.
    else if (hasLooked || ++this.#sweepsDue > PATIENT_SWEEPS) {
      this.#isConfirming = false
      // Of one that did not even reach its host no answer can come; `write` bounds that.
      if (hasLooked && !this.#isReached) return null
      this.#isAwaited = false
      return this.#hasAnswered && ++this.#missed >= misses ? 'gone' : null
    }
    return null
  }

  /** The last look may be seconds old, and the side may have taken the ping since: one more look decides. */
  #confirm(sent: number): void {
    this.#isConfirming = true
    this.#sweepsDue = 0
    this.#taking?.note(sent)
  }

  /** True with an answer of the kernel. */
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

  /** A byte that it takes is as good as one that it sends, but the answer to the ping is still to come. */
  #creditData(bytes: number, now: number): void {
    if (this.#dataTaken !== null && bytes > this.#dataTaken) {
      this.#clockAt = now
      this.#missed = 0
    }
    this.#dataTaken = Math.max(this.#dataTaken ?? bytes, bytes)
  }

  /** Of a ping of ours to that side, in bytes on the wire. */
  get #size(): number {
    return PAYLOAD + (this.side === 'client' ? 2 : 6)
  }

  /** When it will be held to be gone unless it is heard; Infinity while no answer is owed. */
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

  /** An answer is due from now on, to a ping that lies before `endsAt` in what was sent. */
  expect(now: number, endsAt: number): void {
    this.#askedAt = this.#clockAt = this.#reachedAt = now
    this.#isAwaited = true
    this.#endsAt = endsAt
    this.#taking?.note(endsAt)
    this.#isSeen = this.#isTaken = this.#isReached = this.#isConfirming = false
    this.#reached = null
    this.#lookAt = now
  }

  /** Whether a pong answers a ping of ours; if it is the last one, `rttMs` is the round trip, else null. */
  isOurs(payload: Buffer, now: number): { rttMs: number | null } | null {
    // A pong that was not asked for (a heartbeat of its own) shows nothing of how it takes pings.
    this.#hasAnswered ||= this.hasForeignPing
    this.hasForeignPing = false
    if (payload.length !== PAYLOAD || payload.compare(mark, 0, 4, 0, 4) !== 0) return null
    this.#hasAnswered = true
    const isLast = payload.readUInt32BE(4) === this.#sequence && this.#sentAt !== null
    const rttMs = isLast ? now - this.#sentAt! : null
    if (isLast) this.#sentAt = null
    return { rttMs }
  }

  /** Whether a ping of ours was sent within the second before `at`, and not answered. */
  hasJustAsked(at: number): boolean {
    return this.#sentAt !== null && at - this.#sentAt <= SOON_MS
  }
}
