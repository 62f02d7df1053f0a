// The record of one stream: a connection of its own, with what it shares with the connection that carries it.

import { Connection } from '../core/connection.ts'
import type { Session } from '../core/connection.ts'
import type { Http2Context } from './options.ts'

/** Registers it. `carrier` is the record of the connection that carries it. */
export function recordOfStream(
  carrier: Connection,
  session: Session,
  { registry, clock }: Pick<Http2Context, 'registry' | 'clock'>,
): Connection {
  const { listener, peer, client, namesClients, tls, localAddress } = carrier
  const connection = new Connection(registry.nextId(), listener, 'http', peer, clock.now())
  connection.session = session
  connection.client = client
  connection.namesClients = namesClients
  connection.tls = tls
  connection.localAddress = localAddress
  registry.add(connection)
  return connection
}
