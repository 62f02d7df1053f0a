// The last bytes of a tcp upstream to a client that has sent FIN, and whether an RST after them means
// anything. A service that closes with bytes unread (the close_notify of a client that speaks TLS through us,
// every psql session) answers an orderly end with RST; its kernel does. The RST loses nothing if nothing more
// was to come.

import { makeClose, type Close } from '../core/close.ts'

/** The types of an alert's record: its own, or the one that TLS 1.3 gives it; both with what ciphers add. */
const ALERT = 21
const APPLICATION_DATA = 23
const LONGEST_ALERT = 64

/** Looks at the bytes of one direction after the other has ended. */
export class Afterword {
  #bytes = 0
  #isAlert = false

  onBytes(bytes: Buffer, length: number): void {
    this.#isAlert = this.#bytes === 0 && isAlert(bytes, length)
    this.#bytes += length
  }

  /**
   * The true end after `close`, with `queued` bytes still waiting for the client; null where `close` is the
   * true one.
   */
  explain({ reason, side, detail }: Close, queued: number): Close | null {
    if (reason !== 'reset' || side !== 'upstream' || !this.#isEmpty || queued > 0) return null
    return makeClose('eof', 'client', 'relay', `the upstream answered the end with RST (${detail})`)
  }

  /** The upstream sent nothing, or no more than TLS's goodbye. */
  get #isEmpty(): boolean {
    return this.#bytes === 0 || this.#isAlert
  }
}

function isAlert(bytes: Buffer, length: number): boolean {
  if (length < 7 || length > LONGEST_ALERT || (bytes[0] !== ALERT && bytes[0] !== APPLICATION_DATA))
    return false
  return bytes[1] === 3 && bytes.readUInt16BE(3) === length - 5
}
