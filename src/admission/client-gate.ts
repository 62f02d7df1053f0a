// The gates that ask who the client is: `access`, and the limits of each client. A connection is asked about once. Where its peer is
// trusted to say who its clients are (`http.trustForwarded`), the peer is held to `access.deny` alone, and each of its requests is asked
// about as a connection of whom it names: an ingress carries all its clients, on few connections, one after the other.

import type { ClientAddress } from '../core/address.ts'
import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Clients } from '../limits/clients.ts'
import type { Doubt, Doubts } from '../limits/doubts.ts'
import { judgeAccess } from './access.ts'
import type { AccessRules } from './access.ts'

export interface ClientGateOptions {
  /** Null lets every address in. */
  access: AccessRules | null
  /** Whether the peer at that address says who its clients are, and is believed; null where nobody is. */
  namesClients: ((ip: string) => boolean) | null
  /** Limits for each client; null where there are none. */
  clients: Clients | null
  clock: Clock
  /** Where those wait of whom the limits do not know yet. */
  doubts: Doubts
}

export class ClientGate {
  readonly #options: ClientGateOptions
  /** All that a peer who names its clients is held to. */
  readonly #denial: AccessRules | null

  constructor(options: ClientGateOptions) {
    this.#options = options
    this.#denial = options.access && { ...options.access, isAllowed: null }
  }

  /** Lets a peer in, as a client or as who names its clients, or says why not. */
  admit(peer: ClientAddress): Close | null {
    if (!this.#namesClients(peer)) return this.#judge(peer)
    return this.#denial && judgeAccess(this.#denial, peer)
  }

  /** Nobody knows yet whether that peer is over a limit of the fleet. */
  isUnsure(peer: ClientAddress): boolean {
    return !this.#namesClients(peer) && this.#doubt(peer) !== null
  }

  /** Where it is unsure: calls `onKnown` once it is not, and returns what leaves before. Null where it may be judged now. */
  whenKnown(peer: ClientAddress, onKnown: () => void): (() => void) | null {
    return this.#namesClients(peer) ? null : this.whenNamedKnown(peer, onKnown)
  }

  /** So for a client that a peer has named. */
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

  /** One that was let in and comes to no record. */
  dismiss(peer: ClientAddress): void {
    const { clients, clock } = this.#options
    if (!this.#namesClients(peer)) clients?.release(peer, clock.now())
  }

  /** One that was let in has its record. */
  record(connection: Connection): void {
    connection.namesClients = this.#namesClients(connection.peer)
    connection.isCounted = !connection.namesClients && this.#options.clients !== null
  }

  /** Takes a request of a connection that names its clients as one of `client`, until `leave`; or says why it is refused. */
  admitFor(connection: Connection, client: ClientAddress): Close | null {
    connection.client = client
    const close = this.#judge(client)
    connection.isCounted = close === null && this.#options.clients !== null
    return close
  }

  /** The connection, or its request, does not count for its client any more. */
  leave(connection: Connection): void {
    if (!connection.isCounted) return
    connection.isCounted = false
    const { clients, clock } = this.#options
    clients?.release(connection.client, clock.now())
  }

  /** In order of cost. */
  #judge(client: ClientAddress): Close | null {
    const { access, clients, clock } = this.#options
    return (access && judgeAccess(access, client)) ?? clients?.admit(client, clock.now()) ?? null
  }

  #namesClients({ ip }: ClientAddress): boolean {
    const { namesClients } = this.#options
    return ip !== null && namesClients?.(ip) === true
  }
}
