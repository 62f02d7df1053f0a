// The kept sessions at one address of a service that speaks HTTP/2: few, each with as many streams as the
// service allows.
//
//     seek --> a session with room --> onSession
//          \-> waits <-- dial, greeting --> served in order      one dial at a time; the next if some still wait
//
// A session without a stream for `upstream.keepAlive` is closed. A leaving one (GOAWAY, an abandoned address)
// keeps its streams.

import type { Clock, Sweep, Swept } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Dial } from '../upstream/dial.ts'
import type {
  AwaitedStream,
  SessionCounts,
  Streams,
  StreamsContext,
  StreamSeeker,
} from '../upstream/streams.ts'
import type { PingRules } from './session-pings.ts'
import { UpstreamSession } from './upstream-session.ts'
import type { SessionOwner, SessionTaker } from './upstream-session.ts'
import { UpstreamStream } from './upstream-stream.ts'
import type { StreamHome } from './upstream-stream.ts'

export interface SessionsContext extends StreamsContext {
  clock: Clock
  sweep: Sweep
  pings: () => PingRules
}

interface Waiting {
  taker: SessionTaker
  since: number
  expiresAt: number
}

export class UpstreamSessions implements Streams, SessionOwner, Swept {
  readonly #context: SessionsContext
  readonly #authority: string
  readonly #scheme: 'http' | 'https'
  /** The first one with room is used first, so that those beyond the need grow old. */
  readonly #sessions: UpstreamSession[] = []
  /** Sessions that take no more streams. */
  readonly #leaving = new Set<UpstreamSession>()
  readonly #waiting = new Set<Waiting>()
  #dial: Dial | null = null
  #greeting: { session: UpstreamSession; until: number } | null = null

  constructor(context: SessionsContext) {
    this.#context = context
    this.#scheme = context.isSecure ? 'https' : 'http'
    this.#authority = context.host
  }

  get counts(): SessionCounts {
    const all = [...this.#sessions, ...this.#leaving]
    return {
      open: this.#sessions.length,
      leaving: this.#leaving.size,
      streams: all.reduce((sum, { streams }) => sum + streams, 0),
    }
  }

  open(connection: Connection, connectMs: number, seeker: StreamSeeker): AwaitedStream | null {
    const home: StreamHome = {
      scheme: this.#scheme,
      authority: this.#authority,
      seek: (taker) => this.#seek(connectMs, taker),
      later: (run) => this.#context.clock.nextTurn(run),
    }
    return this.#seek(connectMs, {
      onSession(session, dialMs) {
        const stream = new UpstreamStream(home, connection, session)
        session.join(stream)
        seeker.onStream(stream, dialMs)
      },
      onNoSession: (close) => seeker.onDialFailed(close),
    })
  }

  clear(): void {
    for (const session of [...this.#sessions]) session.retire()
    this.#giveUpGreeting(makeClose('connect_failed', 'upstream', 'connect', 'the address was given up'))
  }

  #seek(connectMs: number, taker: SessionTaker): AwaitedStream | null {
    const session = this.#sessions.find(({ room }) => room > 0)
    if (session !== undefined) {
      taker.onSession(session, null)
      return null
    }
    const since = this.#context.clock.now()
    const waiting = { taker, since, expiresAt: since + connectMs }
    this.#waiting.add(waiting)
    this.#watch()
    if (this.#dial === null && this.#greeting === null) this.#dialOne(connectMs)
    return { expiresAt: waiting.expiresAt, cancel: () => this.#waiting.delete(waiting) }
  }

  #watch(): void {
    this.#context.sweep.add(this)
  }

  #dialOne(connectMs: number): void {
    const { clock } = this.#context
    const until = clock.now() + connectMs
    this.#dial = this.#context.dial(
      {
        onSocket: (socket) => {
          this.#dial = null
          const { pings } = this.#context
          const authority = `${this.#scheme}://${this.#authority}`
          const session = new UpstreamSession(socket, authority, this, { now: () => clock.now(), pings })
          this.#greeting = { session, until }
        },
        onDialFailed: (close) => {
          this.#dial = null
          this.#failAll(close)
        },
      },
      connectMs,
    )
  }

  onOpen(session: UpstreamSession): void {
    this.#greeting = null
    this.#sessions.push(session)
    this.#serve(session, true)
    this.#dialMore()
  }

  onRoom(session: UpstreamSession): void {
    this.#serve(session)
  }

  onLeaving(session: UpstreamSession): void {
    this.#remove(session)
    this.#leaving.add(session)
  }

  onGone(session: UpstreamSession): void {
    this.#remove(session)
    this.#leaving.delete(session)
    if (this.#greeting?.session !== session) return
    this.#greeting = null
    const said = `no HTTP/2 there (upstream.protocol: h2c): ${session.problem}`
    this.#failAll(makeClose('connect_failed', 'upstream', 'connect', said))
  }

  #remove(session: UpstreamSession): void {
    const index = this.#sessions.indexOf(session)
    if (index >= 0) this.#sessions.splice(index, 1)
  }

  /** Serves waiting seekers, as many as there is room for. */
  #serve(session: UpstreamSession, isFresh = false): void {
    const now = this.#context.clock.now()
    for (const waiting of this.#waiting) {
      if (session.room === 0) return
      this.#waiting.delete(waiting)
      waiting.taker.onSession(session, isFresh ? now - waiting.since : null)
    }
  }

  #dialMore(): void {
    const [first] = this.#waiting
    if (first === undefined || this.#dial !== null || this.#greeting !== null) return
    // A service that allows no stream just now would allow none on another session.
    if (this.#sessions.some(({ streams, isDoubtful }) => streams === 0 && !isDoubtful)) return
    this.#dialOne(first.expiresAt - this.#context.clock.now())
  }

  #failAll(close: Close): void {
    const all = [...this.#waiting]
    this.#waiting.clear()
    for (const { taker } of all) taker.onNoSession(close)
  }

  sweep(now: number): void {
    for (const waiting of this.#waiting) {
      if (now < waiting.expiresAt) continue
      this.#waiting.delete(waiting)
      waiting.taker.onNoSession(makeClose('connect_timeout', 'upstream', 'connect', 'deadlines.connect'))
    }
    if (this.#greeting !== null && now >= this.#greeting.until)
      this.#giveUpGreeting(
        makeClose('connect_timeout', 'upstream', 'connect', 'no SETTINGS (deadlines.connect)'),
      )
    for (const session of [...this.#sessions, ...this.#leaving]) session.sweep(now)
    this.#retireIdle(now)
    this.#dialMore()
    if (this.#isEmpty) this.#context.sweep.delete(this)
  }

  /** The service has accepted the connection, and not spoken yet. */
  #giveUpGreeting(close: Close): void {
    if (this.#greeting === null) return
    const { session } = this.#greeting
    this.#greeting = null
    this.#leaving.add(session)
    session.destroy()
    this.#failAll(close)
  }

  #retireIdle(now: number): void {
    const { keepAliveMs, maxIdle } = this.#context
    const idle = this.#sessions.filter(({ streams }) => streams === 0)
    for (const [index, session] of idle.entries())
      if (now - session.idleSince >= keepAliveMs || index >= maxIdle) session.retire()
  }

  get #isEmpty(): boolean {
    return this.#sessions.length + this.#leaving.size === 0 && this.#dial === null && this.#greeting === null
  }
}
