// Asks one side of a WebSocket whether it is still there. TCP alone does not: a peer that vanished without FIN looks
// idle, and one behind a NAT stays that way for hours.
//
//     silent for `intervalMs` -> ping -> anything from that side within `timeoutMs` answers for it
//                                     -> nothing: a client, or an upstream that has answered one before, is gone;
//                                        an upstream that never did may be a legacy service that knows no pings
//
// Does not kill: a side that is busy sending (it is not even asked), and one that we do not read because the other side is
// slow (its pong is behind what we do not read). Prior art: engine.io 25 s / 20 s, uWebSockets' sendPingsAutomatically.

import type { PeerSide } from '../core/close.ts'
import { nodeCrypto } from '../core/node-lazy.ts'

/** Milliseconds; an interval of Infinity is off. */
export interface PingOptions {
  intervalMs: number
  timeoutMs: number
}

/** Marks pings of this process, so that their pongs can be told from those that applications wait for. */
const mark = Buffer.alloc(4)
let isMarked = false
const PAYLOAD = 8

export class Pinger {
  readonly side: PeerSide
  readonly #options: PingOptions
  #received = 0
  #heardAt: number
  #askedAt: number | null = null
  #isAwaited = false
  #sequence = 0
  #hasAnswered = false
  /** A ping of the other side is on its way there: its pong will do, and one of ours could swallow it (RFC 6455 section 5.5.3). */
  hasForeignPing = false

  constructor(side: PeerSide, options: PingOptions, now: number) {
    this.side = side
    this.#options = options
    this.#heardAt = now
  }

  /** `received` counts what came from that side; `isBlind`: it is not being read. */
  sweep(received: number, isBlind: boolean, now: number): 'ask' | 'gone' | null {
    if (received !== this.#received || isBlind) {
      this.#received = received
      this.#heardAt = now
      this.#isAwaited = false
    }
    if (this.#isAwaited && now - this.#askedAt! >= this.#options.timeoutMs) {
      if (this.side === 'client' || this.#hasAnswered) return 'gone'
      this.#isAwaited = false
    }
    const since = Math.max(this.#heardAt, this.#askedAt ?? 0)
    return !this.#isAwaited && now - since >= this.#options.intervalMs ? 'ask' : null
  }

  /** When it will be held to be gone unless it is heard; Infinity while no answer is owed. */
  get dueAt(): number {
    const isOwed = this.#isAwaited && (this.side === 'client' || this.#hasAnswered)
    return isOwed ? this.#askedAt! + this.#options.timeoutMs : Number.POSITIVE_INFINITY
  }

  /** The payload of a ping that is sent now. */
  ask(now: number): Buffer {
    this.expect(now)
    this.#sequence = (this.#sequence + 1) >>> 0
    const payload = Buffer.alloc(PAYLOAD)
    if (!isMarked) nodeCrypto().randomFillSync(mark)
    isMarked = true
    mark.copy(payload)
    payload.writeUInt32BE(this.#sequence, 4)
    return payload
  }

  /** An answer is due from now on. */
  expect(now: number): void {
    this.#askedAt = now
    this.#isAwaited = true
  }

  /** Whether a pong answers a ping of ours; if it is the last one, `rttMs` is the round trip, else null. */
  isOurs(payload: Buffer, now: number): { rttMs: number | null } | null {
    this.hasForeignPing = false
    if (payload.length !== PAYLOAD || payload.compare(mark, 0, 4, 0, 4) !== 0) return null
    this.#hasAnswered = true
    const isLast = payload.readUInt32BE(4) === this.#sequence && this.#askedAt !== null
    return { rttMs: isLast ? now - this.#askedAt! : null }
  }
}
