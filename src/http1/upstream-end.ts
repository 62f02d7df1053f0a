// The upstream end of a conversation: another one for each exchange, unless one is the client's alone.

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
  /** A connection to the upstream was logged in for this client (NTLM, Negotiate): nobody else may use what it uses. */
  #isPersonal = false
  /** Whom it was logged in for, where one connection brings several. */
  #person: string | null = null

  constructor(pair: Pair, connection: Connection, reach: Reach) {
    this.#pair = pair
    this.#connection = connection
    this.#reach = reach
  }

  /** One is there: that of the exchange, or one that only this client may use. */
  get isThere(): boolean {
    return this.#endpoint !== null
  }

  /** A request of that client comes: what was logged in for another is no more. */
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

  /** The exchange is over. The connection is kept for the next request, or for this client alone, or closed. `isClean`: nothing came after the answer. */
  release({ answer, judged, isRequestComplete }: Exchange, isClean: boolean): void {
    const isKept = isClean && answer!.isKept && isRequestComplete && !this.#pair.toClient.hasEnded
    this.#isPersonal ||= answer!.isPersonal || judged!.isPersonal
    if (!isKept) return this.drop()
    if (this.#isPersonal) return
    this.#reach.keep(this.#turnAway(), answer!.keptMs)
    releasePlace(this.#connection)
  }

  /** Closes it, if there is one. */
  drop(): void {
    if (this.#endpoint === null) return
    discard(this.#turnAway())
    releasePlace(this.#connection)
  }

  /** It had ended before it was asked: another one, at the same place. */
  again(): void {
    discard(this.#turnAway())
    this.#reach.again()
  }

  #turnAway(): Endpoint {
    const endpoint = this.#endpoint!
    this.#endpoint = null
    this.#pair.turnTo(noUpstream)
    return endpoint
  }
}
