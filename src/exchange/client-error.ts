// What Node's parser says of a client that it cannot read, in our words.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'

/** Null: the socket itself has failed, and its end says why. */
export function closeFromParser({ code = '' }: NodeJS.ErrnoException): Close | null {
  switch (code) {
    case 'ECONNRESET':
    case 'EPIPE':
      return null
    case 'HPE_INVALID_EOF_STATE':
      return makeClose('aborted', 'client', 'handshake', 'FIN inside a request')
    case 'HPE_HEADER_OVERFLOW':
      return { ...makeClose('message_too_big', 'client', 'handshake', 'request head (http.maxHeader)'), httpStatus: 431 }
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return { ...makeClose('message_too_big', 'client', 'handshake', 'chunk extensions'), httpStatus: 413 }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return makeClose('handshake_timeout', 'client', 'handshake', 'deadlines.handshake')
    default:
      return { ...makeClose('protocol_error', 'client', 'handshake', code), httpStatus: 400 }
  }
}
