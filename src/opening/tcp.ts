// `protocol: tcp`: opaque bytes. The upstream is dialled at once; the pair passes half-closes and resets.

import { makeClose } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { Opening } from './opening.ts'
import type { ServeContext, ServeOptions } from './opening.ts'
import type { OpeningSteps } from './steps.ts'
import { NOTHING } from '../core/nothing.ts'

/** Takes ownership of `client`. */
export function serveTcp(
  connection: Connection,
  client: Endpoint,
  options: ServeOptions,
  context: ServeContext,
): void {
  const opening = new Opening(connection, client, { options, context, steps })
  opening.report()
  // The client came before memory ran short, and waited for its turn or for its handshake; its dial begins
  // only now.
  if (context.strain.isRefusing)
    opening.close(makeClose('overloaded', 'sidegate', 'admit', 'memory.refuseAt'))
  else opening.dial()
}

const steps: OpeningSteps = {
  onClientBytes: (opening, bytes, length) => opening.keep(bytes, 0, length),
  onClientEnd(opening) {
    void opening // a request may be complete with its FIN; the pair passes it on
  },
  onDialled: (opening) => opening.pair(null, NOTHING),
  onUpstreamBytes(opening) {
    opening.close(
      makeClose('internal_error', 'sidegate', 'connect', 'bytes from an upstream that has no pair'),
    )
  },
  answer: () => null,
}
