// The circuit: whether Redis answers. A failure, or answers that are late, open it: then only one probe at
// a time is sent, after a pause that doubles, each with its own connection and the current contents of the
// credential files. A store that answers a probe, and fails again soon, is no better: the pauses go on from
// where they were, or a Redis at the brink of its timeout would be connected to, and have all leases reported
// to it, several times a second.
//
//     away --probe--> up --a failure, a timeout--> away
//
// One late answer is no outage yet (`Lateness`): the store gets the time-out and half a second more for it.
// Beyond that the circuit opens, as at the first late answer after several. After the first failure of a
// steady store it is retrying until its first probe ends, which takes as long at the most.

import type { Clock } from '../core/clock.ts'
import { Lateness } from './lateness.ts'
import type { Answer, Command, Connect, Store } from './store.ts'

export interface CircuitOptions {
  /** Milliseconds for an answer; connecting may take CONNECT_FACTOR times as long. */
  timeoutMs: () => number
  /** The command that a probe sends. */
  probe: () => Command
}

export interface CircuitContext {
  clock: Clock
  random: () => number
  connect: Connect
  onUp: (answer: Answer) => void
  /** Called when the circuit opens, for a start that fails, and for each other problem until it is closed. */
  onDown: (problem: string) => void
  onRequests: (count: number, result: RequestResult, ms: number) => void
}

export type RequestResult = 'ok' | 'timeout' | 'error'

const FIRST_PAUSE_MS = 100
const LAST_PAUSE_MS = 5000
/** The next pause is the first again once the store has answered for so long. */
const STEADY_MS = 10_000
/**
 * The longest of the first pauses, and a connection on a busy machine: on one with four busy processes on two
 * cores it took a gate up to 280 ms to be back (2026-12-01). A late answer has as long to come.
 */
const RETRY_MS = 500
/** Problems of one outage. */
const MAX_TOLD = 8
/** TLS, credentials, sentinels that are asked first. */
const CONNECT_FACTOR = 20
const MIN_CONNECT_MS = 1000

/** The late answer has not come in the longer time either. */
class LongTimeout extends Error {}

export class Circuit {
  readonly #options: CircuitOptions
  readonly #context: CircuitContext
  #store: Store | null = null
  /** The problems reported since it opened. */
  readonly #problems = new Set<string>()
  readonly #lateness = new Lateness()
  /** Answers that are late, and may come yet. */
  #overdue = 0
  #failures = 0
  #upAt = 0
  #retryUntilMs = Number.NEGATIVE_INFINITY
  #cancel: () => void = () => {}
  #isStopped = false

  constructor(options: CircuitOptions, context: CircuitContext) {
    this.#options = options
    this.#context = context
  }

  get isUp(): boolean {
    return this.#store !== null
  }

  /** An answer is late, and may come yet. */
  get isLate(): boolean {
    return this.#store !== null && this.#overdue > 0
  }

  /** The most commands of one `run`. */
  get most(): number {
    return this.#store?.most ?? 1
  }

  /** It has failed for the first time in a while, and the first probe may find that it is back. */
  get isRetrying(): boolean {
    return this.#store === null && this.#context.clock.now() < this.#retryUntilMs
  }

  /** `isNext`: it replaces another, and those that waited for an answer of that one wait for its probe. */
  start(isNext = false): void {
    if (isNext) this.#retry()
    void this.#probe()
  }

  /** Null where it failed, which has opened the circuit. */
  async run(commands: readonly Command[]): Promise<Answer[] | null> {
    const store = this.#store
    if (store === null) return null
    try {
      return await this.#ask(store, commands, true)
    } catch (error) {
      if (this.#store === store) this.#open(error)
      return null
    }
  }

  stop(): void {
    this.#isStopped = true
    this.#retryUntilMs = Number.NEGATIVE_INFINITY
    this.#cancel()
    this.#store?.close()
    this.#store = null
  }

  async #probe(): Promise<void> {
    const connecting = new AbortController()
    let store: Store | null = null
    try {
      const ms = Math.max(MIN_CONNECT_MS, this.#options.timeoutMs() * CONNECT_FACTOR)
      store = await this.#within(ms, this.#context.connect(connecting.signal))
      // A sign of life after the last one would make a gate that is gone count for a while.
      if (this.#isStopped) return store.close()
      const [answer] = await this.#ask(store, [this.#options.probe()], false)
      if (this.#isStopped) return store.close()
      this.#store = store
      this.#upAt = this.#context.clock.now()
      this.#problems.clear()
      this.#context.onUp(answer!)
    } catch (error) {
      connecting.abort()
      store?.close()
      this.#open(error)
    }
  }

  #retry(): void {
    this.#retryUntilMs = this.#context.clock.now() + RETRY_MS + this.#options.timeoutMs()
  }

  #open(error: unknown): void {
    if (this.#isStopped) return
    const { clock, random, onDown } = this.#context
    const now = clock.now()
    if (this.#store !== null && now - this.#upAt >= STEADY_MS) this.#failures = 0
    const isFirst = this.#store !== null && this.#failures === 0
    if (isFirst && !(error instanceof LongTimeout)) this.#retry()
    else this.#retryUntilMs = Number.NEGATIVE_INFINITY
    this.#store?.close()
    this.#store = null
    const problem = error instanceof Error ? error.message : String(error)
    // The first is often that the connection has ended, and a later one is why.
    if (!this.#problems.has(problem) && this.#problems.size < MAX_TOLD) {
      this.#problems.add(problem)
      onDown(problem)
    }
    const pauseMs = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** this.#failures++)
    this.#cancel = clock.after(pauseMs * (0.5 + random()), () => void this.#probe())
  }

  async #ask(store: Store, commands: readonly Command[], mayBeLate: boolean): Promise<Answer[]> {
    const { clock, onRequests } = this.#context
    const timeoutMs = this.#options.timeoutMs()
    const since = clock.now()
    let isLate = false
    const tell = (result: RequestResult): void => onRequests(commands.length, result, clock.now() - since)
    const onLate = (): number => {
      isLate = true
      tell('timeout')
      return this.#lateness.onLate() && mayBeLate ? RETRY_MS + timeoutMs : 0
    }
    try {
      const answers = await this.#within(timeoutMs, store.run(commands), onLate)
      if (isLate) return answers
      this.#lateness.onInTime()
      tell('ok')
      return answers
    } catch (error) {
      if (!isLate) tell('error')
      throw error
    }
  }

  /**
   * An answer that lies in the socket because our own process stood still has come in time: the timeout waits
   * until the socket has been read once more. `onLate` returns how much longer it may take.
   */
  #within<T>(ms: number, promise: Promise<T>, onLate: () => number = () => 0): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let overdue = 0
      const settle = (): void => {
        cancel()
        this.#overdue -= overdue
        overdue = 0
      }
      let cancel = this.#after(ms, () => {
        const moreMs = onLate()
        if (moreMs === 0) return reject(new Error(`no answer within ${ms} ms`))
        this.#overdue += overdue = 1
        cancel = this.#after(moreMs, () => {
          settle()
          reject(new LongTimeout(`no answer within ${ms + moreMs} ms`))
        })
      })
      promise.then(
        (value) => (settle(), resolve(value)),
        (error: unknown) => (settle(), reject(error as Error)),
      )
    })
  }

  /** In the turn after that in which it is due. Returns how to cancel it. */
  #after(ms: number, act: () => void): () => void {
    const { clock } = this.#context
    let isCancelled = false
    const cancel = clock.after(ms, () => clock.nextTurn(() => isCancelled || act()))
    return () => {
      isCancelled = true
      cancel()
    }
  }
}
