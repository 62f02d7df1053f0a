// One name of an upstream, with the addresses that it stands for there: those of its last answer, while they
// hold.
//
//     resolved     its last lookup gave an answer
//     stale        it did not, and the addresses of the last answer are in use: for ever where the resolver failed,
//                  for `upstream.staleFor` where it reported that there is no such name
//     absent       there has been no such name for that long: it has no addresses
//     unresolved   it has no answer yet
//
// An address of yesterday may be somebody else's today (a service is scaled to zero, and another pod gets its
// address), which is why "no such name" counts. One such answer is no proof (a resolver that has just
// started), which is why the addresses stay for `staleFor`.

import type { Clock } from '../core/clock.ts'
import type { Name } from './name.ts'
import type { Names, Watch } from './names.ts'

const nameStates = ['resolved', 'stale', 'absent', 'unresolved'] as const
export type NameState = (typeof nameStates)[number]

export interface ResolvedNameContext {
  clock: Clock
  names: Names
  /** Milliseconds that addresses stay in use after the resolver reports that there is no such name. */
  staleForMs: number
  /** An answer or a problem came, or the name's `staleFor` has passed. */
  onChanged(): void
}

export class ResolvedName {
  readonly name: string
  readonly port: number
  readonly #context: ResolvedNameContext
  #watch: Watch | null = null
  #cancel: (() => void) | null = null
  /**
   * The name's `staleFor` has passed. Set together with the call of `onChanged`, so that views show the
   * addresses that connections get.
   */
  #isGivenUp = false

  constructor(name: string, port: number, context: ResolvedNameContext) {
    this.name = name
    this.port = port
    this.#context = context
  }

  start(): void {
    if (this.#watch !== null) return
    this.#watch = this.#context.names.watch(this.name, () => this.#onHeard())
    if (!this.#watch.known.isUnknown) this.#onHeard()
  }

  stop(): void {
    this.#watch?.stop()
    this.#watch = null
    this.#cancel?.()
    this.#cancel = null
  }

  get #known(): Name | null {
    return this.#watch?.known ?? null
  }

  get state(): NameState {
    const known = this.#known
    if (known === null || known.isUnknown) return 'unresolved'
    if (known.isAnswered) return 'resolved'
    if (this.#isGivenUp) return 'absent'
    return known.answeredAt === null ? 'unresolved' : 'stale'
  }

  /** There is no answer and no problem yet. */
  get isUnknown(): boolean {
    return this.#known?.isUnknown ?? true
  }

  get problem(): string | null {
    return this.#known?.problem ?? null
  }

  /** Wall clock of the last answer, and of the first "no such name" since then. */
  get answeredAt(): number | null {
    return this.#known?.answeredAt ?? null
  }

  get absentAt(): number | null {
    return this.#known?.absentAt ?? null
  }

  /** The addresses that new connections go to. */
  get addresses(): string[] {
    return this.#withMisses((misses) => misses === 0)
  }

  /** The addresses that only the last answer lacked. */
  get missing(): string[] {
    return this.#withMisses((misses) => misses > 0)
  }

  #withMisses(isMeant: (misses: number) => boolean): string[] {
    const { state } = this
    if (state === 'absent' || state === 'unresolved') return []
    return [...this.#known!.misses].filter(([, misses]) => isMeant(misses)).map(([address]) => address)
  }

  #onHeard(): void {
    this.#cancel?.()
    this.#cancel = null
    const { clock, staleForMs } = this.#context
    const leftMs = staleForMs - (this.#known?.absentMs(clock.now()) ?? 0)
    this.#isGivenUp = leftMs <= 0
    if (this.#known?.isAbsent === true && leftMs > 0 && Number.isFinite(leftMs))
      this.#cancel = clock.after(leftMs, () => this.#onHeard())
    this.#context.onChanged()
  }
}
