// Names to addresses, out of the path: no connection waits for a resolver, but for the first answer to a name.
//
//     watch(name) --> lookup --> addresses, and again after `refreshMs`
//                       |
//                       +------> a problem: the last good addresses stay, and it is asked again soon
//
// `lookup` is getaddrinfo: it sees what every other program in the pod sees, /etc/hosts and search domains, which a DNS
// client of our own (c-ares) does not. Its price: a lookup holds a thread of libuv until it returns, which with a dead
// resolver takes half a minute, and libuv gives such work two of its four threads. So no more than two run at a time in
// this process, each name has one at the most, and one that takes too long is a problem, but keeps its slot until it returns.

import dns from 'node:dns'
import { isIP } from 'node:net'
import type { Clock } from '../core/clock.ts'

/** Rejects with the system's error, whose `code` is shown. */
export type Lookup = (name: string) => Promise<readonly string[]>

export interface NameOptions {
  lookup: Lookup
  /** Milliseconds from one answer to the next question; a fifth more or less at random, so that names do not ask in step. */
  refreshMs: number
}

export interface NameWatcher {
  /** Every answer, also one that says the same again; never empty. */
  onAddresses(addresses: readonly string[]): void
  /** The name could not be resolved, or not in time; what was known stays. */
  onNameProblem(problem: string): void
}

export const systemNames: NameOptions = {
  lookup: async (name) => (await dns.promises.lookup(name, { all: true, order: 'verbatim' })).map(({ address }) => address),
  refreshMs: 15_000,
}

const MAX_LOOKUPS = 2
/** After that a lookup that has not returned is a problem. */
const LOOKUP_MS = 5000
/** The first wait after a problem; each one more doubles it, up to the refresh. */
const RETRY_MS = 1000
class Name {
  readonly name: string
  readonly watchers = new Set<NameWatcher>()
  isAsked = false
  problems = 0
  cancelNext: (() => void) | null = null
  cancelLate: (() => void) | null = null

  constructor(name: string) {
    this.name = name
  }
}

export class Names {
  readonly #options: NameOptions
  readonly #clock: Clock
  readonly #random: () => number
  readonly #names = new Map<string, Name>()
  /** Those whose turn has not come. */
  readonly #waiting = new Set<Name>()
  #lookups = 0

  constructor(options: NameOptions, clock: Clock, random: () => number) {
    this.#options = options
    this.#clock = clock
    this.#random = random
  }

  /** Resolves `name` now and again, until the returned function is called. */
  watch(name: string, watcher: NameWatcher): () => void {
    let known = this.#names.get(name)
    if (known === undefined) this.#names.set(name, (known = new Name(name)))
    known.watchers.add(watcher)
    this.#ask(known)
    return () => this.#unwatch(known, watcher)
  }

  #unwatch(known: Name, watcher: NameWatcher): void {
    known.watchers.delete(watcher)
    if (known.watchers.size > 0) return
    known.cancelNext?.()
    known.cancelLate?.()
    this.#waiting.delete(known)
    if (this.#names.get(known.name) === known) this.#names.delete(known.name)
  }

  #ask(known: Name): void {
    if (known.isAsked) return
    known.isAsked = true
    known.cancelNext?.()
    known.cancelNext = null
    if (this.#lookups < MAX_LOOKUPS) this.#look(known)
    else this.#waiting.add(known)
  }

  #look(known: Name): void {
    this.#lookups++
    known.cancelLate = this.#clock.after(LOOKUP_MS, () => tellProblem(known, `no answer within ${LOOKUP_MS / 1000}s`))
    const settle = (found: readonly string[], problem: string): void => {
      known.cancelLate?.()
      this.#lookups--
      this.#onReturned(known, found, problem)
    }
    this.#options.lookup(known.name).then(
      (addresses) => settle(usable(addresses), 'no addresses'),
      (error: NodeJS.ErrnoException) => settle([], error.code ?? error.message),
    )
  }

  #onReturned(known: Name, addresses: readonly string[], problem: string): void {
    known.isAsked = false
    const [next] = this.#waiting
    if (next !== undefined) {
      this.#waiting.delete(next)
      this.#look(next)
    }
    if (known.watchers.size === 0) return
    known.problems = addresses.length > 0 ? 0 : known.problems + 1
    const { refreshMs } = this.#options
    const waitMs = addresses.length > 0 ? refreshMs : Math.min(refreshMs, RETRY_MS * 2 ** (known.problems - 1))
    known.cancelNext = this.#clock.after(waitMs * (0.8 + 0.4 * this.#random()), () => this.#ask(known))
    if (addresses.length === 0) return tellProblem(known, problem)
    for (const watcher of [...known.watchers]) watcher.onAddresses(addresses)
  }
}

function tellProblem(known: Name, problem: string): void {
  for (const watcher of [...known.watchers]) watcher.onNameProblem(problem)
}

function usable(addresses: readonly string[]): readonly string[] {
  return [...new Set(addresses)].filter((address) => isIP(address) !== 0 && !address.includes('%'))
}
