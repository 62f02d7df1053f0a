// The client of the request under way, on a connection whose peer names its clients: the connection counts as
// that client's and draws from its rates, from the head of the request to the end of the answer.

import type { ClientAddress } from '../core/address.ts'
import type { Connection } from '../core/connection.ts'
import { refuses } from '../core/strain.ts'
import { drawAnew } from '../pair/limited.ts'
import type { Pair } from '../pair/pair.ts'
import { namedClient } from './named-client.ts'
import type { RequestHead } from './head.ts'
import type { HttpContext, HttpOptions } from './options.ts'
import type { UpstreamEnd } from './upstream-end.ts'

export class Behalf {
  readonly #connection: Connection
  readonly #options: HttpOptions
  readonly #context: HttpContext
  /** The client of the request under way. */
  #client: ClientAddress | null = null
  #stopWaiting: (() => void) | null = null

  constructor(connection: Connection, options: HttpOptions, context: HttpContext) {
    this.#connection = connection
    this.#options = options
    this.#context = context
  }

  /**
   * True while a fleet has not yet reported whether the named client is over a limit: `onKnown` is called
   * then, unless `stop` comes first. While new work is refused nobody is asked.
   */
  mustWait({ headers }: RequestHead, onKnown: () => void): boolean {
    const connection = this.#connection
    if (!connection.namesClients) return false
    // A request that is refused ahead of its client's limits counts as that client's, too.
    this.#client = connection.client = namedClient(headers, connection.peer, this.#options)
    if (refuses(this.#context.strain, connection)) return false
    this.#stopWaiting = this.#context.clients.whenNamedKnown(this.#client, onKnown)
    return this.#stopWaiting !== null
  }

  stop(): void {
    this.#stopWaiting?.()
    this.#stopWaiting = null
  }

  /** The request counts as the named client's; false where that client is refused, and the pair ends. */
  take(pair: Pair, upstream: UpstreamEnd): boolean {
    const connection = this.#connection
    if (!connection.namesClients) return true
    const client = this.#client!
    const close = this.#context.clients.admitFor(connection, client)
    if (close !== null) pair.close(close)
    // The bytes of the head may also exceed a limit of this client.
    else drawAnew(pair, connection, this.#context.limits)
    if (connection.end !== null) return false
    upstream.serve(client)
    return true
  }

  /** The request is over: the connection counts as its peer's until the next one. */
  leave(pair: Pair): void {
    const connection = this.#connection
    if (!connection.namesClients) return
    this.#context.clients.leave(connection)
    connection.client = connection.peer
    drawAnew(pair, connection, this.#context.limits)
  }
}
