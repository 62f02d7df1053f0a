// Keep-alive PINGs of a session, by the rules of `websocket.ping`: a side that was silent for the interval
// gets a PING; any bytes from it are an answer; after `misses` unanswered in a row it is gone. Each side of
// HTTP/2 must answer a PING, in its library and not in its application.
//
// gRPC services count PINGs that come more often than every five minutes without data as an attack
// ("too_many_pings", and GOAWAY), and those without a stream altogether. So a service gets them no more often
// than that, and only while it owes something.

export interface PingRules {
  /** Milliseconds; Infinity is off. */
  readonly intervalMs: number
  readonly timeoutMs: number
  readonly misses: number
}

/**
 * The default of gRPC's GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS and of grpc-go's MinTime, and a
 * second.
 */
const SERVICE_INTERVAL_MS = 301_000
/** A service whose stream has just timed out gets a PING at once, and no new stream until it answers. */
const DOUBT_MS = 5000

/** By the rules for a WebSocket. */
export function servicePings({
  to,
  intervalMs,
  ...rules
}: PingRules & { to: 'client' | 'upstream' | 'both' }): PingRules {
  const isAsked = to !== 'client'
  return {
    ...rules,
    intervalMs: isAsked ? Math.max(intervalMs, SERVICE_INTERVAL_MS) : Number.POSITIVE_INFINITY,
  }
}

export class SessionPings {
  readonly #rules: () => PingRules
  #received = 0
  #heardAt: number
  #askedAt: number | null = null
  #isAwaited = false
  #missed = 0
  #doubtedAt: number | null = null

  constructor(rules: () => PingRules, now: number) {
    this.#rules = rules
    this.#heardAt = now
  }

  /** It got a PING because it seemed stuck, and has not answered yet. */
  get isDoubtful(): boolean {
    return this.#doubtedAt !== null
  }

  /** True if a PING is due. */
  doubt(now: number): boolean {
    if (this.#doubtedAt !== null) return false
    this.#doubtedAt = now
    return true
  }

  onAnswered(now: number): void {
    this.#doubtedAt = null
    this.#hear(now)
  }

  /** ask: a PING is due now. stuck: it gets no new streams. gone: the connection is dead. */
  sweep(received: number, isOwing: boolean, now: number): 'ask' | 'gone' | 'stuck' | null {
    if (received !== this.#received) {
      this.#received = received
      this.#hear(now)
    }
    if (this.#doubtedAt !== null && now - this.#doubtedAt >= DOUBT_MS) {
      this.#doubtedAt = null
      return 'stuck'
    }
    const { intervalMs, timeoutMs, misses } = this.#rules()
    if (this.#isAwaited) {
      if (now - this.#askedAt! < timeoutMs) return null
      this.#isAwaited = false
      if (++this.#missed >= misses) return 'gone'
    }
    if (!isOwing || now - Math.max(this.#heardAt, this.#askedAt ?? 0) < intervalMs) return null
    this.#askedAt = now
    this.#isAwaited = true
    return 'ask'
  }

  #hear(now: number): void {
    this.#heardAt = now
    this.#isAwaited = false
    this.#missed = 0
  }
}
