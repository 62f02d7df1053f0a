// The circuit: whether Redis answers. A failure, or an answer that is late, opens it: then only one probe at
// a time is sent, after a pause that doubles, each with its own connection and the current contents of the
// credential files. A store that answers a probe, and fails again soon, is no better: the pauses go on from
// where they were, or a Redis at the brink of its timeout would be connected to, and have all leases reported
// to it, several times a second.
//
//     away --probe--> up --a failure, a timeout--> away
//
// One late answer is no outage yet: a fork for a snapshot delays it, or a neighbour on the machine. After the
// first failure of a steady store, the circuit is retrying until its first probe ends.

import type { Clock } from '../core/clock.ts'
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
 * cores it took a gate up to 280 ms to be back (2026-12-01).
 */
const RETRY_MS = 500
/** Problems of one outage. */
const MAX_TOLD = 8
/** TLS, credentials, sentinels that are asked first. */
const CONNECT_FACTOR = 20
const MIN_CONNECT_MS = 1000

class Timeout extends Error {}

export class Circuit {
  readonly #options: CircuitOptions
  readonly #context: CircuitContext
  #store: Store | null = null
  /** The problems reported since it opened. */
  readonly #problems = new Set<string>()
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
      return await this.#ask(store, commands)
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
      const [answer] = await this.#ask(store, [this.#options.probe()])
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
    if (isFirst) this.#retry()
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

  async #ask(store: Store, commands: readonly Command[]): Promise<Answer[]> {
    const { clock, onRequests } = this.#context
    const since = clock.now()
    try {
      const answers = await this.#within(this.#options.timeoutMs(), store.run(commands))
      onRequests(commands.length, 'ok', clock.now() - since)
      return answers
    } catch (error) {
      onRequests(commands.length, error instanceof Timeout ? 'timeout' : 'error', clock.now() - since)
      throw error
    }
  }

  /**
   * An answer that lies in the socket because our own process stood still has come in time: the timeout waits
   * until the socket has been read once more.
   */
  #within<T>(ms: number, promise: Promise<T>): Promise<T> {
    const { clock } = this.#context
    return new Promise<T>((resolve, reject) => {
      const give = (): void => reject(new Timeout(`no answer within ${ms} ms`))
      const cancel = clock.after(ms, () => clock.nextTurn(give))
      promise.then(
        (value) => (cancel(), resolve(value)),
        (error: unknown) => (cancel(), reject(error as Error)),
      )
    })
  }
}
