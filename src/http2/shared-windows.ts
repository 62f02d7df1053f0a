// The windows that streams of one connection give their peer (RFC 9113 section 6.9.2). Node opens the window
// of the connection again as bytes come, read or not, so that each unread stream holds a whole window here: a
// hundred on each of twenty connections are 128 MiB. Where many are held back at once, all get a small
// window, announced in SETTINGS; until the peer applies it, the window of the connection bounds the bytes on
// their way.

import type { Http2Session } from 'node:http2'

const LARGE = 65_535
/** As large as a frame that every peer takes (section 4.2). */
const SMALL = 16_384
/**
 * So many unread streams may hold a large window each, 1 MiB together; and with so few the windows are large
 * again.
 */
const MANY = 16
const FEW = 4

export class SharedWindows {
  readonly #session: Pick<Http2Session, 'destroyed' | 'settings'>
  readonly #stalled = new Set<object>()
  #bytes = LARGE
  #isTelling = false

  constructor(session: Pick<Http2Session, 'destroyed' | 'settings'>) {
    this.#session = session
  }

  /** `stream` is not read for now. */
  onStalled(stream: object): void {
    this.#stalled.add(stream)
    if (this.#stalled.size > MANY) this.#set(SMALL)
  }

  /** The stream is read again, or has ended. */
  onRead(stream: object): void {
    this.#stalled.delete(stream)
  }

  sweep(): void {
    if (this.#stalled.size > MANY) this.#set(SMALL)
    else if (this.#stalled.size <= FEW) this.#set(LARGE)
  }

  /** One change at a time: a peer that acknowledges nothing gets no further one. */
  #set(bytes: number): void {
    if (bytes === this.#bytes || this.#isTelling || this.#session.destroyed) return
    this.#bytes = bytes
    this.#isTelling = true
    this.#session.settings({ initialWindowSize: bytes }, () => (this.#isTelling = false))
  }
}
