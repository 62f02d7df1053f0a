// A health check: probes one address again and again. One probe runs at a time, so that an address that hangs
// costs one socket.
//
//     unknown --one probe passes--> healthy <--`healthy` in a row pass-- unhealthy
//        +------`unhealthy` in a row fail----> unhealthy <--`unhealthy` in a row fail-- healthy
//
// An unknown address is used like a healthy one: a start never waits for the upstream.
//
// A probe that this host could not make (it is out of descriptors, or a healthy address has taken all of its
// local ports) says nothing about the address: else the gate would end all that is open there for want of its
// own.
//
// Where several threads serve one upstream, the one on duty probes: it holds the only place of a count. It
// reports the results to the others. They try to take that place at each interval of the checks: the first
// that finds it free, because it was released or its thread has ended, goes on from there.

import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { Checked, Finding, Health } from './finding.ts'
import type { CheckCrew } from './findings.ts'
import { isOurs, isWithoutLocalPort } from './failures.ts'
import { prepareProbes, probe } from './probe.ts'
import type { Probe } from './probe.ts'
import type { ProbeType, StatusRange } from './probe-talk.ts'
import type { Dial, SocketDialler } from './dial.ts'

export interface HealthCheckOptions {
  type: ProbeType
  /** The service speaks HTTP/2 alone. */
  isHttp2?: boolean
  /** The path of the request, for `http` and `websocket`. */
  path: string
  /** The Host of the request; null means the name and port that the address comes from. */
  host: string | null
  headers: Readonly<Record<string, string>>
  /** The statuses of an answer that pass, with `http`. */
  status: readonly StatusRange[]
  /** From the end of a probe to the next one, a tenth more or less at random. */
  intervalMs: number
  timeoutMs: number
  /** Probes in a row that change the state. */
  healthy: number
  unhealthy: number
}

export interface HealthCheckContext {
  clock: Clock
  random: () => number
  /** Opens a connection to the address. */
  dial: (dialler: SocketDialler) => Dial
  onChecked(checked: Checked): void
  /** The state changed to `healthy` or `unhealthy`. */
  onTurned(state: Health): void
  /**
   * Those that make the same checks: other threads, and the upstream that a reload has replaced. Absent:
   * nobody.
   */
  crew?: CheckCrew
}

/** The first probes after a start are spread over a second. */
const FIRST_MS = 1000

export class HealthCheck {
  readonly #options: HealthCheckOptions
  readonly #host: string
  readonly #context: HealthCheckContext
  state: Health = 'unknown'
  last: Checked | null = null
  /** Probes in a row that contradict the state. */
  #against = 0
  #probe: Probe | null = null
  #startedAt = 0
  #cancel: () => void
  #isOnDuty: boolean
  #unfollow: () => void = () => {}

  /** `host` is the Host of the requests where the options have none. */
  constructor(options: HealthCheckOptions, host: string, context: HealthCheckContext) {
    this.#options = options
    prepareProbes(options.type)
    this.#host = options.host ?? host
    this.#context = context
    this.#isOnDuty = context.crew === undefined
    this.#follow()
    this.#cancel = context.clock.after(Math.min(FIRST_MS, options.intervalMs) * context.random(), () =>
      this.#begin(),
    )
  }

  stop(): void {
    const { crew } = this.#context
    this.#cancel()
    this.#unfollow()
    this.#probe?.giveUp()
    this.#probe = null
    if (crew !== undefined && this.#isOnDuty) crew.duty.release()
    this.#isOnDuty = false
  }

  #follow(): void {
    const { crew, clock } = this.#context
    if (crew === undefined) return
    this.#unfollow = crew.findings.follow(crew.key, (finding) => this.#onFound(finding))
    const known = crew.findings.known(crew.key)
    const { intervalMs, timeoutMs } = this.#options
    // A state that no thread has checked for two rounds no longer holds.
    if (known?.kind !== 'check' || clock.wall() - known.last.at > 2 * (intervalMs + timeoutMs)) return
    this.state = known.state
    this.last = known.last
  }

  #onFound(finding: Finding): void {
    if (this.#isOnDuty || finding.kind !== 'check') return
    const before = this.state
    this.state = finding.state
    this.last = finding.last
    const hasTurned = before !== this.state && (before === 'unhealthy' || this.state === 'unhealthy')
    if (hasTurned) this.#context.onTurned(this.state)
  }

  #begin(): void {
    const { clock, crew } = this.#context
    this.#isOnDuty ||= crew!.duty.take(1)
    if (!this.#isOnDuty) return this.#again()
    const { type, isHttp2 = false, path, headers, status, timeoutMs } = this.#options
    this.#startedAt = clock.now()
    const options = { type, isHttp2, path, host: this.#host, headers, status, dial: this.#context.dial }
    this.#probe = probe(options, (...found) => this.#onDone(...found))
    // The verdict waits one more turn: if our own process stood still, the answer is already in the kernel
    // and not late.
    const asked = this.#probe
    this.#cancel = clock.after(timeoutMs, () => clock.nextTurn(() => this.#onLate(asked)))
  }

  #onLate(asked: Probe): void {
    if (this.#probe === asked) this.#onDone(asked.giveUp(), null)
  }

  #again(): void {
    const { clock, random } = this.#context
    this.#cancel = clock.after(this.#options.intervalMs * (0.9 + 0.2 * random()), () => this.#begin())
  }

  #onDone(problem: string | null, answered: string | null, failedDial?: Close): void {
    const { clock, crew } = this.#context
    this.#probe = null
    this.#cancel()
    this.#again()
    const last = { at: clock.wall(), tookMs: clock.now() - this.#startedAt, problem, answered }
    this.last = last
    this.#context.onChecked(last)
    if (failedDial === undefined || !this.#isForWantOfOurs(failedDial)) this.#judge(problem === null)
    crew?.findings.tell({ kind: 'check', key: crew.key, state: this.state, last })
  }

  /** Where the address has never answered, the host may have no local address to dial it from. */
  #isForWantOfOurs(close: Close): boolean {
    return isOurs(close) || (this.state === 'healthy' && isWithoutLocalPort(close))
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
