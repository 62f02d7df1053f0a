// The gates of the client's address: `access`, and the limits of each client. They judge a connection once. A
// peer that is trusted to name its clients (`http.trustForwarded`) is held to `access.deny` alone, and each
// of its requests is judged as a connection of the client that it names: an ingress carries all its clients,
// on few connections, one after the other.

import type { ClientAddress } from '../core/address.ts'
import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { ClientCounter, Connection } from '../core/connection.ts'
import type { Clients, Holder } from '../limits/clients.ts'
import type { Doubt, Doubts } from '../limits/doubts.ts'
import { judgeAccess } from './access.ts'
import type { AccessRules } from './access.ts'

export interface ClientGateOptions {
  /** Null lets every address in. */
  access: AccessRules | null
  /**
   * Whether the peer at that address (null on a unix socket) names its clients, and is believed; null where
   * no peer is.
   */
  namesClients: ((ip: string | null) => boolean) | null
  /** The limits of each client; null where there are none. */
  clients: Clients | null
  clock: Clock
  /** The waiting room of clients whose limits are in doubt. */
  doubts: Doubts
}

export class ClientGate implements ClientCounter {
  readonly #options: ClientGateOptions
  /** The only rules for a peer that names its clients. */
  readonly #denial: AccessRules | null

  constructor(options: ClientGateOptions) {
    this.#options = options
    this.#denial = options.access && { ...options.access, isAllowed: null }
  }

  /** Lets a peer in, as a client or as one that names its clients (null), or returns why not. */
  admit(peer: ClientAddress, holder: Holder): Close | null {
    if (!this.#namesClients(peer)) return this.#judge(peer, holder)
    return this.#denial && judgeAccess(this.#denial, peer)
  }

  /** It is unknown so far whether that peer is over a limit of the fleet. */
  isUnsure(peer: ClientAddress): boolean {
    return !this.#namesClients(peer) && this.#doubt(peer) !== null
  }

  /**
   * While it is unsure: calls `onKnown` once it is not, and returns a function that leaves before that. Null
   * where it may be judged now.
   */
  whenKnown(peer: ClientAddress, onKnown: () => void): (() => void) | null {
    return this.#namesClients(peer) ? null : this.whenNamedKnown(peer, onKnown)
  }

  /** The same for a client that a peer has named. */
  whenNamedKnown(client: ClientAddress, onKnown: () => void): (() => void) | null {
    const doubt = this.#doubt(client)
    return doubt && this.#options.doubts.wait(doubt, onKnown)
  }

  #doubt(client: ClientAddress): Doubt | null {
    const { access, clients, clock } = this.#options
    if (clients === null) return null
    const doubt = clients.doubt(client, () => clock.now())
    return doubt === null || (access && judgeAccess(access, client)) !== null ? null : doubt
  }

  /** Releases a peer that was let in and gets no record. */
  dismiss(peer: ClientAddress, { observed }: Holder): void {
    const { clients, clock } = this.#options
    if (!this.#namesClients(peer)) clients?.release(peer, clock.now(), { observed, hasParted: false })
  }

  /** Marks the record of a peer that was let in. */
  record(connection: Connection, { observed }: Holder): void {
    connection.observed = observed
    connection.namesClients = this.#namesClients(connection.peer)
    connection.isCounted = !connection.namesClients && this.#options.clients !== null
    connection.counter = this
  }

  /**
   * Takes a request as one of `client`, on a connection that names its clients, until `leave`; or returns why
   * it is refused.
   */
  admitFor(connection: Connection, client: ClientAddress): Close | null {
    connection.client = client
    const close = this.#judge(client, connection)
    connection.isCounted = close === null && this.#options.clients !== null
    return close
  }

  part(connection: Connection): void {
    if (!connection.isCounted || connection.hasParted || connection.observed?.isPlaced === false) return
    connection.hasParted = this.#options.clients?.part(connection.client) === true
  }

  /** The connection, or its request, no longer counts for its client. */
  leave(connection: Connection): void {
    if (!connection.isCounted) return
    const { clients, clock } = this.#options
    clients?.release(connection.client, clock.now(), connection)
    connection.isCounted = connection.hasParted = false
    connection.observed = null
  }

  /** In order of cost. */
  #judge(client: ClientAddress, holder: Holder): Close | null {
    const { access, clients, clock } = this.#options
    return (access && judgeAccess(access, client)) ?? clients?.admit(client, clock.now(), holder) ?? null
  }

  #namesClients({ ip }: ClientAddress): boolean {
    return this.#options.namesClients?.(ip) === true
  }
}
