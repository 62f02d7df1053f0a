// The gate of one client: how many connections it has open, how many it begins, and the buckets that its
// connections share.
//
// The table is bounded, whatever addresses come: it has an entry for each client with an open connection (so
// no more than `limits.connections`), and for at most MAX_IDLE others whose buckets are not full again.
// Beyond that, the client that has been idle for the longest is forgotten, which gives it its burst early. A
// client with open connections is never forgotten.

import { localScopes } from './cells.ts'
import { networkOf } from '../core/address.ts'
import type { ClientAddress } from '../core/address.ts'
import type { LimitScope, Scopes } from '../core/cells.ts'
import type { Close } from '../core/close.ts'
import { makeClose } from '../core/close.ts'
import type { LimitName, ObservedPlace } from '../core/connection.ts'
import { limitWords } from '../core/limit-words.ts'
import { LOOK_MS } from './doubts.ts'
import type { Doubt, Doubts } from './doubts.ts'
import { Client } from './one-client.ts'
import { draw } from './observed.ts'
import { CountedLater } from './observed-place.ts'

export interface ClientOptions {
  /** Infinity is off. */
  maxConnections: number
  /** New connections a second of one client; null is off. */
  newConnections: { perSec: number; burst: number; isEnforced: boolean; scope?: LimitScope } | null
  /** False: `maxConnections` only counts. */
  isEnforced: boolean
  /** The sharers of the count of `maxConnections`; `process` by default. A reload does not change it. */
  scope?: LimitScope
  /** A limit acted, or would have. */
  report: (limit: LimitName, action: 'close', isEnforced: boolean) => void
}

/** A connection, or what is about to be one. */
export interface Holder {
  observed: ObservedPlace | null
}

/** About 5 MB of them. */
const MAX_IDLE = 16_384
/**
 * A client may have closed one connection before it opens another, and the gate hears of the second first, or
 * in another thread: for 40 ms, by the ticks of the waiting room, a newcomer over `connectionsPerClient`
 * waits for the other to be gone.
 */
const LEAVING_TICKS = 40 / LOOK_MS
/**
 * A client that is let on without a wait may have come, gone and come again before the gate has heard of its
 * first end: so many more wait where the limit only observes.
 */
const OBSERVED_WAITING = 64
/** How many of the oldest are checked whenever one is added, so that they go faster than they come. */
const SWEPT_AT_A_TIME = 2

export class Clients {
  #options: ClientOptions
  /** The sharers of the clients' counts. */
  readonly scope: LimitScope
  readonly #active = new Map<string, Client>()
  /** Clients without connections; the one that has been so for the longest comes first. */
  readonly #idle = new Map<string, Client>()
  /** How many were forgotten before their buckets were full. */
  forgottenEarly = 0
  #scopes: Scopes
  readonly #doubts: Doubts | null

  /**
   * `doubts`: where newcomers in doubt wait, and what is only observed is judged once a fleet has answered;
   * null: nothing is ever in doubt.
   */
  constructor(options: ClientOptions, scopes: Scopes = localScopes, doubts: Doubts | null = null) {
    this.#options = options
    this.scope = options.scope ?? 'process'
    this.#scopes = scopes
    this.#doubts = doubts
  }

  get options(): ClientOptions {
    return this.#options
  }

  /**
   * May change at any time; known clients stay. A limit that is enforced from now on counts all that are
   * open.
   */
  set options(options: ClientOptions) {
    this.#options = options
    if (!options.isEnforced) return
    for (const { observed } of this.#active.values()) for (const one of [...(observed ?? [])]) one.place()
  }

  /** False if open connections would have to be counted elsewhere: then a new Clients is needed. */
  mayMoveTo(scope: LimitScope, scopes: Scopes): boolean {
    return this.scope === scope && (scope === 'process' || !this.#isElsewhere(scopes))
  }

  /** Moves to `scopes`, after `mayMoveTo`. */
  moveTo(scopes: Scopes): void {
    if (!this.#isElsewhere(scopes)) return
    this.#scopes = scopes
    for (const client of [...this.#active.values(), ...this.#idle.values()]) client.moveTo(scopes)
  }

  #isElsewhere({ fleet }: Scopes): boolean {
    return fleet.cells !== this.#scopes.fleet.cells || fleet.name !== this.#scopes.fleet.name
  }

  /** The number of known clients. */
  get size(): number {
    return this.#active.size + this.#idle.size
  }

  /**
   * Lets a connection of that client on (null), or returns why not. Each one let on is released once, with
   * what `holder` has got here.
   */
  admit(address: ClientAddress, now: number, holder: Holder = { observed: null }): Close | null {
    const key = keyOf(address)
    if (key === null) return null
    const client = this.#active.get(key) ?? this.#idle.get(key) ?? this.#meet(key)
    const close = this.#tooMany(client, holder) ?? this.#tooFast(client, now, holder)
    if (close === null) client.open++
    this.#keep(key, client, now)
    return close
  }

  /**
   * Not null if a connection of that client may soon be judged otherwise than now: a fleet was asked about
   * its limits, or the connection that it comes for is leaving. The result tells when to ask again.
   */
  doubt(address: ClientAddress, now: () => number): Doubt | null {
    const { maxConnections, isEnforced, newConnections } = this.options
    const counts = isEnforced && Number.isFinite(maxConnections)
    const paces = newConnections?.isEnforced === true && newConnections.scope === 'fleet'
    const key = counts || paces ? keyOf(address) : null
    if (key === null) return null
    const client = this.#active.get(key) ?? this.#idle.get(key) ?? this.#meet(key)
    const since = this.#doubts?.ticks ?? 0
    // More than may be open replace none: a flood over the limit is refused at once.
    const forPlace = counts ? this.#doubtOfPlace(client, since, maxConnections) : null
    const isOpen: Doubt = () =>
      forPlace?.() === true || (paces && client.isUnsure('newConnections', newConnections, now()))
    if (forPlace?.kind !== undefined) isOpen.kind = forPlace.kind
    return isOpen() ? isOpen : null
  }

  /** Not null where a place may soon be free, and fewer than `most` wait for one. */
  #doubtOfPlace(client: Client, since: number, most: number): Doubt | null {
    const { maxConnections } = this.#options
    const isOpen: Doubt = () => this.#isUnsure(client, maxConnections, since)
    if (this.scope === 'fleet') return isOpen
    if (client.waiting >= most || !isOpen()) return null
    isOpen.kind = client
    return isOpen
  }

  #isUnsure({ count }: Client, max: number, since: number): boolean {
    if (this.scope === 'fleet') return count.isUnsure?.(max) === true
    return this.#doubts !== null && this.#doubts.ticks - since < LEAVING_TICKS && count.held >= max
  }

  /**
   * A connection of that client is to go: gives its place to the one that comes for it, which may come before
   * this one is gone. False if as many as may be open have done so and are not gone, or else a client
   * that never goes would have ever more of them.
   */
  part(address: ClientAddress): boolean {
    const client = this.of(address)
    if (client === null || client.parted >= this.options.maxConnections) return false
    client.parted++
    client.count.release()
    this.#doubts?.look()
    return true
  }

  /** `hasParted`: the connection has given its place up before. */
  release(
    address: ClientAddress,
    now: number,
    { hasParted, observed }: Holder & { hasParted: boolean } = { hasParted: false, observed: null },
  ): void {
    const key = keyOf(address)
    const client = key === null ? undefined : this.#active.get(key)
    if (key === null || client === undefined) return
    client.open--
    observed?.end()
    if (hasParted) client.parted--
    else if (observed?.isPlaced !== false) client.count.release()
    this.#keep(key, client, now)
    this.#doubts?.look()
  }

  /** The client at `address`, which has a connection open; null where clients cannot be told apart. */
  of(address: ClientAddress): Client | null {
    const key = keyOf(address)
    return key === null ? null : (this.#active.get(key) ?? null)
  }

  #meet(key: string): Client {
    return new Client(key, this.scope, this.#scopes)
  }

  /** Null: it has taken its place. */
  #tooMany(client: Client, holder: Holder): Close | null {
    const { maxConnections, isEnforced, report } = this.#options
    const { count } = client
    if (count.take(maxConnections)) return null
    if (!isEnforced && this.scope === 'process') {
      holder.observed = this.#observe(client)
      return null
    }
    if (!isEnforced && count.isUnsure?.(maxConnections) === true) this.#judgeLater(client)
    else report('connectionsPerClient', 'close', isEnforced)
    if (!isEnforced && count.take(Number.POSITIVE_INFINITY)) return null
    return makeClose('too_many', 'client', 'admit', limitWords('limits.connectionsPerClient', count))
  }

  /** Lets it on without a place, and judges it as an enforced limit would. */
  #observe(client: Client): ObservedPlace {
    const place = new CountedLater({
      count: client.count,
      max: () => this.#options.maxConnections,
      open: (client.observed ??= new Set()),
      onOver: () => this.#options.report('connectionsPerClient', 'close', false),
    })
    const most = this.#options.maxConnections + OBSERVED_WAITING
    place.judge(this.#doubtOfPlace(client, this.#doubts?.ticks ?? 0, most), this.#doubts)
    return place
  }

  /** An enforced limit would have waited for the answer of the fleet; this one delays nobody. */
  #judgeLater(client: Client): void {
    const { count } = client
    if (client.inDoubt++ > 0) return
    const isOpen = (): boolean => count.isUnsure?.(this.options.maxConnections) === true
    this.#doubts?.wait(isOpen, () => {
      const over = Math.min(client.inDoubt, count.over ?? 0)
      client.inDoubt = 0
      for (let nth = 0; nth < over; nth++) this.options.report('connectionsPerClient', 'close', false)
    })
  }

  #tooFast(client: Client, now: number, holder: Holder): Close | null {
    const { newConnections, report } = this.options
    if (newConnections === null) return null
    const { isEnforced } = newConnections
    const bucket = client.bucket('newConnections', newConnections, now)
    if (draw({ bucket, isEnforced }, 1, now)) return null
    report('newConnections', 'close', isEnforced)
    if (!isEnforced) return null
    if (holder.observed === null) client.count.release()
    else holder.observed.end()
    holder.observed = null
    return makeClose('rate_limited', 'client', 'admit', limitWords('limits.newConnections', bucket))
  }

  #keep(key: string, client: Client, now: number): void {
    // Moves to the end even if it was there: it is the most recent.
    this.#idle.delete(key)
    if (client.open > 0) {
      this.#active.set(key, client)
    } else {
      this.#active.delete(key)
      if (!client.isForgettable(now)) this.#idle.set(key, client)
    }
    this.#forget(now)
  }

  #forget(now: number): void {
    let looked = 0
    for (const [key, client] of this.#idle) {
      const isFull = this.#idle.size > MAX_IDLE
      if (looked++ >= SWEPT_AT_A_TIME && !isFull) break
      const isForgettable = client.isForgettable(now)
      if (!isForgettable && !isFull) break
      if (!isForgettable) this.forgottenEarly++
      this.#idle.delete(key)
    }
  }
}

/** The key of a client; null on a unix socket, whose clients cannot be told apart. */
function keyOf({ ip }: ClientAddress): string | null {
  return ip === null ? null : networkOf(ip)
}
