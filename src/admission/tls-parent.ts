// Keeps the raw socket open when OpenSSL fails a handshake. Node closes it at once; a client of TLS 1.3 has
// finished by then, as it sees it, and sends its request, to which a closed socket answers with RST: a client
// that writes again before it reads never learns the reason, which is in an alert on its way to it.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'

/** Node's own, undocumented; where they are gone, the raw socket is closed as ever. */
interface Wrap {
  _parentWrap?: unknown
  readStop(): void
}
interface Wrapped {
  _handle?: Wrap | null
}

/**
 * Stands between a TLS socket and its raw socket for the time of a handshake. Its names are those that Node
 * calls.
 */
export class TlsParent {
  readonly #raw: Socket
  readonly #wrap: Wrap | null

  constructor(secure: TLSSocket, raw: Socket) {
    this.#raw = raw
    const wrap = (secure as unknown as Wrapped)._handle ?? null
    this.#wrap = wrap?._parentWrap === raw ? wrap : null
    if (this.#wrap !== null) this.#wrap._parentWrap = this
  }

  get _handle(): unknown {
    return (this.#raw as Wrapped)._handle
  }

  once(_close: 'close', destroySsl: () => void): void {
    this.#raw.once('close', destroySsl)
  }

  destroy(): void {}

  /** The handshake went well: from here on the two close together. */
  leave(): void {
    if (this.#wrap !== null) this.#wrap._parentWrap = this.#raw
  }

  /** The handshake has failed: FIN follows the alert, and whatever else the client sends stays unread. */
  end(): void {
    this.#wrap?.readStop()
    this.#raw.end()
  }
}
