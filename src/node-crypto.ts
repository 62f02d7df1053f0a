// Node's crypto module, loaded when the first WebSocket needs it: 5 MB of an idle process (Node 26.10, resident memory).

import type Crypto from 'node:crypto'

/** A lookup in a table of Node's, from the second call on. */
export function nodeCrypto(): typeof Crypto {
  return process.getBuiltinModule('node:crypto')
}
