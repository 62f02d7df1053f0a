// HTTP/2 from its preface on.

import type { Connection } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { ClientSession } from './client-session.ts'
import type { Http2Context, Http2Options } from './options.ts'

/** Takes ownership of `client`; `early` are the bytes already read, the preface included. */
export function serveHttp2(
  connection: Connection,
  client: Endpoint,
  early: Buffer,
  { options, context }: { options: Http2Options; context: Http2Context },
): void {
  connection.protocol = 'h2'
  context.observer.onOpened(connection)
  new ClientSession(connection, client, options, context).start(early)
}
