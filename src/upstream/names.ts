// Names resolved to addresses, off the path: a connection waits for a resolver only for the first answer to a
// name.
//
//     watch(name) --> lookup --> the addresses of a Name, and again after `refreshMs`
//                       |
//                       +------> a problem: the last good addresses stay, and the next lookup comes soon
//
// The answers for a name outlive the last upstream that watched it: a reload replaces upstreams, also while
// DNS is out of order.
//
// `lookup` is getaddrinfo. It sees what every other program in the pod sees, /etc/hosts and search domains,
// which a DNS client of our own (c-ares) does not. Its price: a lookup holds a thread of libuv until it
// returns, which takes half a minute with a dead resolver, and libuv gives such work two of its four threads.
// So at most two lookups run at a time in this process, and at most one for each name. A lookup that takes
// too long is reported as a problem, but keeps its slot until it returns.

import dns from 'node:dns'
import { isIP } from 'node:net'
import type { Clock } from '../core/clock.ts'
import { Name } from './name.ts'

/**
 * Rejects with the system's error, whose `code` is shown. ENOTFOUND means that there is no such name; any
 * other code means nothing about the name.
 */
export type Lookup = (name: string) => Promise<readonly string[]>

export interface NameOptions {
  lookup: Lookup
  /**
   * Milliseconds from one answer to the next lookup; a fifth more or less at random, so that lookups of names
   * do not run in step.
   */
  refreshMs: number
}

/** A name that is looked up until `stop` is called. */
export interface Watch {
  known: Name
  stop(): void
}

export const systemNames: NameOptions = { lookup: lookUp, refreshMs: 15_000 }

/** The code for "no such name", and for a name without addresses. */
const NO_NAME = 'ENOTFOUND'

async function lookUp(name: string): Promise<readonly string[]> {
  try {
    return await addressesOf(name, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== NO_NAME) throw error
  }
  // glibc asks for both families together, and gives the same error for "no addresses in one family" and
  // "server failure in the other" (seen with 2.36: SERVFAIL for A, an empty answer for AAAA). Lookups of one
  // family each tell the two apart.
  const found = [
    await addressesOf(name, 4).catch(emptyIfAbsent),
    await addressesOf(name, 6).catch(emptyIfAbsent),
  ].flat()
  if (found.length > 0) return found
  throw Object.assign(new Error('no such name'), { code: NO_NAME })
}

async function addressesOf(name: string, family: 0 | 4 | 6): Promise<string[]> {
  return (await dns.promises.lookup(name, { all: true, order: 'verbatim', family })).map(
    ({ address }) => address,
  )
}

function emptyIfAbsent(error: NodeJS.ErrnoException): string[] {
  if (error.code !== NO_NAME) throw error
  return []
}

const MAX_LOOKUPS = 2
/** A lookup that has not returned by then is a problem. */
const LOOKUP_MS = 5000
/** The first wait after a problem; each further problem doubles it, up to the refresh. */
const RETRY_MS = 1000
/** How long, and how many, unwatched names are kept: a listener that a reload removed may come back. */
const KEPT_MS = 3_600_000
const MAX_KEPT = 256

/** The times of one name's lookups, and the watchers that get their results. */
class Schedule {
  readonly known: Name
  readonly watchers = new Set<() => void>()
  /** Its lookup runs, or waits for a slot. */
  isAsked = false
  problems = 0
  /** When its last watcher left. */
  unwatchedAt = 0
  cancelNext: (() => void) | null = null
  cancelLate: (() => void) | null = null

  constructor(name: string) {
    this.known = new Name(name)
  }
}

export class Names {
  readonly #options: NameOptions
  readonly #clock: Clock
  readonly #random: () => number
  readonly #names = new Map<string, Schedule>()
  /** The names without watchers, in the order in which their last watchers left. */
  readonly #kept = new Map<string, Schedule>()
  /** The names that wait for a lookup slot. */
  readonly #waiting = new Set<Schedule>()
  #lookups = 0

  constructor(options: NameOptions, clock: Clock, random: () => number) {
    this.#options = options
    this.#clock = clock
    this.#random = random
  }

  /**
   * Resolves `name` now and again; calls `onHeard` after each answer or problem, after `watch` has returned.
   */
  watch(name: string, onHeard: () => void): Watch {
    const schedule = this.#names.get(name) ?? this.#add(name)
    const watcher = (): void => onHeard()
    schedule.watchers.add(watcher)
    // A lookup of earlier watchers, which left before it returned, is still running.
    if (schedule.isAsked && schedule.cancelLate === null && !this.#waiting.has(schedule))
      this.#expect(schedule)
    this.#ask(schedule)
    return { known: schedule.known, stop: () => this.#unwatch(schedule, watcher) }
  }

  #add(name: string): Schedule {
    const now = this.#clock.now()
    for (const [kept, { unwatchedAt }] of this.#kept) {
      if (this.#kept.size <= MAX_KEPT && now - unwatchedAt < KEPT_MS) break
      this.#kept.delete(kept)
    }
    const schedule = this.#kept.get(name) ?? new Schedule(name)
    this.#kept.delete(name)
    this.#names.set(name, schedule)
    return schedule
  }

  #unwatch(schedule: Schedule, watcher: () => void): void {
    if (!schedule.watchers.delete(watcher) || schedule.watchers.size > 0) return
    schedule.cancelNext?.()
    schedule.cancelLate?.()
    schedule.cancelNext = schedule.cancelLate = null
    if (this.#waiting.delete(schedule)) schedule.isAsked = false
    const { known } = schedule
    known.rest()
    schedule.unwatchedAt = this.#clock.now()
    this.#names.delete(known.name)
    if (known.answeredAt !== null) this.#kept.set(known.name, schedule)
  }

  #ask(schedule: Schedule): void {
    if (schedule.isAsked) return
    schedule.isAsked = true
    schedule.cancelNext?.()
    schedule.cancelNext = null
    if (this.#lookups < MAX_LOOKUPS) this.#look(schedule)
    else this.#waiting.add(schedule)
  }

  #look(schedule: Schedule): void {
    this.#lookups++
    this.#expect(schedule)
    this.#options.lookup(schedule.known.name).then(
      (addresses) => this.#onReturned(schedule, usable(addresses), null),
      (error: NodeJS.ErrnoException) => this.#onReturned(schedule, [], error.code ?? error.message),
    )
  }

  #expect(schedule: Schedule): void {
    schedule.cancelLate = this.#clock.after(LOOKUP_MS, () => {
      schedule.known.onProblem(`no answer within ${LOOKUP_MS / 1000}s`, this.#clock.now())
      tell(schedule)
    })
  }

  #onReturned(schedule: Schedule, addresses: readonly string[], problem: string | null): void {
    this.#lookups--
    schedule.cancelLate?.()
    schedule.cancelLate = null
    schedule.isAsked = false
    const [next] = this.#waiting
    if (next !== undefined) {
      this.#waiting.delete(next)
      this.#look(next)
    }
    if (schedule.watchers.size === 0) return
    schedule.problems = addresses.length > 0 ? 0 : schedule.problems + 1
    const { refreshMs } = this.#options
    const waitMs =
      addresses.length > 0 ? refreshMs : Math.min(refreshMs, RETRY_MS * 2 ** (schedule.problems - 1))
    schedule.cancelNext = this.#clock.after(waitMs * (0.8 + 0.4 * this.#random()), () => this.#ask(schedule))
    const { known } = schedule
    if (addresses.length > 0) known.onAnswer(addresses, this.#clock.wall())
    else if (problem === null || problem === NO_NAME)
      known.onAbsent(problem ?? 'no addresses', this.#clock.now(), this.#clock.wall())
    else known.onProblem(problem, this.#clock.now())
    tell(schedule)
  }
}

function tell(schedule: Schedule): void {
  for (const watcher of [...schedule.watchers]) watcher()
}

function usable(addresses: readonly string[]): readonly string[] {
  return [...new Set(addresses)].filter((address) => isIP(address) !== 0 && !address.includes('%'))
}
