// The upstream end of a conversation: a different connection for each exchange, unless one belongs to the
// client alone.

import type { ClientAddress } from '../core/address.ts'
import { releasePlace } from '../core/connection.ts'
import type { Connection } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { noUpstream } from '../endpoint/no-endpoint.ts'
import type { Pair } from '../pair/pair.ts'
import { discard } from '../upstream/pool.ts'
import type { Reach } from '../upstream/reach.ts'
import type { Exchange } from './exchange.ts'

export class UpstreamEnd {
  readonly #pair: Pair
  readonly #connection: Connection
  readonly #reach: Reach
  #endpoint: Endpoint | null = null
  /** An upstream connection was logged in for this client (NTLM, Negotiate): no other client may use it. */
  #isPersonal = false
  /** The client that it was logged in for, where one connection carries the requests of several. */
  #person: string | null = null

  constructor(pair: Pair, connection: Connection, reach: Reach) {
    this.#pair = pair
    this.#connection = connection
    this.#reach = reach
  }

  /** There is an endpoint: that of the exchange, or one that only this client may use. */
  get isThere(): boolean {
    return this.#endpoint !== null
  }

  /** A request of that client comes: a connection that was logged in for another client is closed. */
  serve({ ip }: ClientAddress): void {
    if (ip === this.#person) return
    this.#person = ip
    this.#isPersonal = false
    this.drop()
  }

  take(endpoint: Endpoint): void {
    this.#endpoint = endpoint
    this.#pair.turnTo(endpoint)
  }

  /**
   * The exchange is over. Keeps the connection for the next request, or for this client alone, or closes it.
   * `isClean`: nothing came after the answer.
   */
  release({ answer, judged, isRequestComplete }: Exchange, isClean: boolean): void {
    const isKept = isClean && answer!.isKept && isRequestComplete && !this.#pair.toClient.hasEnded
    if (!isClean) this.#reach.stray()
    this.#isPersonal ||= answer!.isPersonal || judged!.isPersonal
    if (!isKept) return this.drop()
    if (this.#isPersonal) return
    this.#reach.keep(this.#turnAway(), answer!.keptMs, answer!.mayHaveMore)
    this.#reach.rest()
    releasePlace(this.#connection)
  }

  /**
   * Between two requests: gives up a connection that its client has authenticated, if another client waits
   * for the place.
   */
  yield(): void {
    if (this.#endpoint !== null && this.#reach.isWanted) this.drop()
  }

  /** Closes the connection, if there is one. */
  drop(): void {
    if (this.#endpoint === null) return
    discard(this.#turnAway())
    this.#reach.rest()
    releasePlace(this.#connection)
  }

  /** The connection had ended before it took the request: dials another one at the same place. */
  again(): void {
    discard(this.#turnAway())
    this.#reach.again()
  }

  /** A kept connection had ended before it was asked: others may have, too. */
  doubt(): void {
    this.#reach.doubt()
  }

  #turnAway(): Endpoint {
    const endpoint = this.#endpoint!
    this.#endpoint = null
    this.#pair.turnTo(noUpstream)
    return endpoint
  }
}
