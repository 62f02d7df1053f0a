// Whose the request under way is, on a connection whose peer names its clients: it counts as that client's, and draws from that client's
// rates, from its head to the end of its answer.

import type { ClientAddress } from '../core/address.ts'
import type { Connection } from '../core/connection.ts'
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
  /** Of the request under way. */
  #client: ClientAddress | null = null
  #stopWaiting: (() => void) | null = null

  constructor(connection: Connection, options: HttpOptions, context: HttpContext) {
    this.#connection = connection
    this.#options = options
    this.#context = context
  }

  /** True where a fleet has yet to say whether whom the head names is over a limit: it calls `onKnown` then, unless `stop` comes before. */
  mustWait({ headers }: RequestHead, onKnown: () => void): boolean {
    const connection = this.#connection
    if (!connection.namesClients) return false
    this.#client = namedClient(headers, connection.peer, this.#options)
    this.#stopWaiting = this.#context.clients.whenNamedKnown(this.#client, onKnown)
    return this.#stopWaiting !== null
  }

  stop(): void {
    this.#stopWaiting?.()
    this.#stopWaiting = null
  }

  /** The request is that of whom its head named; false where that client is refused, and the pair ends. */
  take(pair: Pair, upstream: UpstreamEnd): boolean {
    const connection = this.#connection
    if (!connection.namesClients) return true
    const client = this.#client!
    const close = this.#context.clients.admitFor(connection, client)
    if (close !== null) pair.close(close)
    // What its head has drawn may be over a limit, too.
    else drawAnew(pair, connection, this.#context.limits)
    if (connection.end !== null) return false
    upstream.serve(client)
    return true
  }

  /** The request is over, and the connection nobody's until the next one. */
  leave(pair: Pair): void {
    const connection = this.#connection
    if (!connection.namesClients) return
    this.#context.clients.leave(connection)
    connection.client = connection.peer
    drawAnew(pair, connection, this.#context.limits)
  }
}
