// Asks one address again and again whether it is well. One probe at a time, so that an address that hangs costs one socket.
//
//     unknown --one probe passes--> healthy <--`healthy` in a row pass-- unhealthy
//        +------`unhealthy` in a row fail----> unhealthy <--`unhealthy` in a row fail-- healthy
//
// What is unknown counts as well: a start never waits for the upstream.

import type { Clock } from '../core/clock.ts'
import { probe } from './probe.ts'
import type { Probe, ProbeType, StatusRange } from './probe.ts'
import type { Dial, SocketDialler } from './dial.ts'

export interface HealthCheckOptions {
  type: ProbeType
  /** Of the request, for `http` and `websocket`. */
  path: string
  /** The Host of the request; null is the name and port that the address comes from. */
  host: string | null
  headers: Readonly<Record<string, string>>
  /** Of an answer that passes, with `http`. */
  status: readonly StatusRange[]
  /** From the end of a probe to the next one, a tenth more or less at random. */
  intervalMs: number
  timeoutMs: number
  /** Probes in a row that turn the state. */
  healthy: number
  unhealthy: number
}

export type Health = 'unknown' | 'healthy' | 'unhealthy'

/** What came of a probe. */
export interface Checked {
  /** Wall clock. */
  at: number
  tookMs: number
  /** Null if it passed. */
  problem: string | null
  /** What the address said: `200 OK`, `pong`; null where it said nothing. */
  answered: string | null
}

export interface HealthCheckContext {
  clock: Clock
  random: () => number
  /** Opens a connection to the address. */
  dial: (dialler: SocketDialler) => Dial
  onChecked(checked: Checked): void
  /** The state turned: to `healthy` or `unhealthy`. */
  onTurned(state: Health): void
}

/** The first probes of a start come within a second, spread over it. */
const FIRST_MS = 1000

export class HealthCheck {
  readonly #options: HealthCheckOptions
  readonly #host: string
  readonly #context: HealthCheckContext
  state: Health = 'unknown'
  last: Checked | null = null
  /** Probes in a row that speak against the state. */
  #against = 0
  #probe: Probe | null = null
  #startedAt = 0
  #cancel: () => void
  #isStopped = false

  /** `host` is the Host of its requests where the options have none. */
  constructor(options: HealthCheckOptions, host: string, context: HealthCheckContext) {
    this.#options = options
    this.#host = options.host ?? host
    this.#context = context
    this.#cancel = context.clock.after(Math.min(FIRST_MS, options.intervalMs) * context.random(), () => this.#begin())
  }

  stop(): void {
    this.#isStopped = true
    this.#cancel()
    this.#probe?.giveUp()
    this.#probe = null
  }

  #begin(): void {
    const { clock } = this.#context
    const { type, path, headers, status, timeoutMs } = this.#options
    this.#startedAt = clock.now()
    const options = { type, path, host: this.#host, headers, status, dial: this.#context.dial }
    this.#probe = probe(options, (problem, answered) => this.#onDone(problem, answered))
    // One more turn: if our own process stood still, the answer is in the kernel and not late.
    const asked = this.#probe
    this.#cancel = clock.after(timeoutMs, () => clock.nextTurn(() => this.#onLate(asked)))
  }

  #onLate(asked: Probe): void {
    if (this.#probe === asked) this.#onDone(asked.giveUp(), null)
  }

  #onDone(problem: string | null, answered: string | null): void {
    if (this.#isStopped) return
    const { clock, random } = this.#context
    this.#probe = null
    this.#cancel()
    this.#cancel = clock.after(this.#options.intervalMs * (0.9 + 0.2 * random()), () => this.#begin())
    this.last = { at: clock.wall(), tookMs: clock.now() - this.#startedAt, problem, answered }
    this.#context.onChecked(this.last)
    this.#judge(problem === null)
  }

  #judge(isPassed: boolean): void {
    const isAgainst = isPassed === (this.state === 'unhealthy')
    if (!isAgainst) {
      this.#against = 0
      if (isPassed) this.state = 'healthy'
      return
    }
    const { healthy, unhealthy } = this.#options
    if (++this.#against < (isPassed ? healthy : unhealthy)) return
    this.#against = 0
    this.state = isPassed ? 'healthy' : 'unhealthy'
    this.#context.onTurned(this.state)
  }
}
