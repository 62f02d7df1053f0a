// The gate of one client: how many connections it has open, how many it begins, and the buckets that its connections share.
//
// Bounded, whatever addresses come: there is an entry for each client with an open connection (so no more than
// `limits.connections`), and for at most MAX_IDLE others whose buckets are not full again. Beyond that the one that has been idle
// for the longest is forgotten, which gives that client its burst early. A client with open connections is never forgotten.

import { Bucket } from './bucket.ts'
import type { Close } from '../core/close.ts'
import { makeClose } from '../core/close.ts'
import type { LimitName } from '../core/connection.ts'
import { clientKey } from './client-key.ts'

export interface ClientOptions {
  /** Infinity is off. */
  maxConnections: number
  /** New connections a second of one client; null is off. */
  newConnections: { perSec: number; burst: number; isEnforced: boolean } | null
  /** False: `maxConnections` is only counted. */
  isEnforced: boolean
  /** A limit acted, or would have. */
  report: (limit: LimitName, action: 'close', isEnforced: boolean) => void
}

/** Some 5 MB of them. */
const MAX_IDLE = 16_384
/** So many of the oldest are looked at whenever one is added, so that they go faster than they come. */
const SWEPT_AT_A_TIME = 2

/** What is known of one client. */
export class Client {
  open = 0
  readonly #buckets = new Map<string, Bucket>()

  /** The bucket of that name, made by the first who asks for it. */
  bucket(name: string, make: () => Bucket): Bucket {
    let bucket = this.#buckets.get(name)
    if (bucket === undefined) this.#buckets.set(name, (bucket = make()))
    return bucket
  }

  /** Nothing would be lost if it were forgotten. */
  isForgettable(now: number): boolean {
    for (const bucket of this.#buckets.values()) if (!bucket.isFull(now)) return false
    return true
  }
}

export class Clients {
  /** May be changed at any time; who is there stays. */
  options: ClientOptions
  readonly #active = new Map<string, Client>()
  /** Without connections; the one that has been so for the longest comes first. */
  readonly #idle = new Map<string, Client>()
  /** How many were forgotten before their buckets were full. */
  forgottenEarly = 0

  constructor(options: ClientOptions) {
    this.options = options
  }

  /** How many are known. */
  get size(): number {
    return this.#active.size + this.#idle.size
  }

  /** Lets a connection of that client (`ip:port`) on, or says why not. Each that was let on is released once. */
  admit(address: string, now: number): Close | null {
    const key = clientKey(address)
    if (key === null) return null
    const client = this.#active.get(key) ?? this.#idle.get(key) ?? new Client()
    const close = this.#tooMany(client) ?? this.#tooFast(client, now)
    if (close === null) client.open++
    this.#keep(key, client, now)
    return close
  }

  release(address: string, now: number): void {
    const key = clientKey(address)
    const client = key === null ? undefined : this.#active.get(key)
    if (key === null || client === undefined) return
    client.open--
    this.#keep(key, client, now)
  }

  /** The client at that address, who has a connection open; null where clients cannot be told apart. */
  of(address: string): Client | null {
    const key = clientKey(address)
    return key === null ? null : (this.#active.get(key) ?? null)
  }

  #tooMany({ open }: Client): Close | null {
    const { maxConnections, isEnforced, report } = this.options
    if (open < maxConnections) return null
    report('connectionsPerClient', 'close', isEnforced)
    return isEnforced ? makeClose('too_many', 'client', 'admit', 'limits.connectionsPerClient') : null
  }

  #tooFast(client: Client, now: number): Close | null {
    const { newConnections, report } = this.options
    if (newConnections === null) return null
    const { perSec, burst, isEnforced } = newConnections
    if (client.bucket(`newConnections ${perSec} ${burst}`, () => new Bucket(perSec, burst, now)).take(1, now)) return null
    report('newConnections', 'close', isEnforced)
    return isEnforced ? makeClose('rate_limited', 'client', 'admit', 'limits.newConnections') : null
  }

  #keep(key: string, client: Client, now: number): void {
    // Put last, also if it was there: it was heard of just now.
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
