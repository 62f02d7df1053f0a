// The end of a connection for a client that the gate may refuse: within one process the RST can come before the socket has reported
// that it is connected.

import type { Test } from 'tap'
import { within } from './eventually.ts'
import { connect } from './peers.ts'
import type { ConnectOptions } from './peers.ts'
import type { Closed } from './wire.ts'

export function outcomeOf(
  t: Test,
  port: number,
  options: ConnectOptions = {},
  bytes: Uint8Array | string = '',
): Promise<Closed> {
  return connect(t, port, options).then(
    (wire) => {
      if (bytes.length > 0) void wire.write(bytes)
      return within(wire.closed)
    },
    (error: NodeJS.ErrnoException) => ({ kind: 'reset', code: error.code ?? null }),
  )
}
