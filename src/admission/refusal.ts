// Refuses a connection that a gate did not let in, cheaply: an answer if its protocol has one, then FIN, else
// RST.
//
// The client needs a moment to read an HTTP answer: closing at once, with the request still unread, would
// make the kernel send an RST that can destroy the answer. So a bounded number of refusals linger, for a
// bounded time; the rest get RST.

import type { Socket } from 'node:net'
import { LocalCount } from '../core/cells.ts'
import type { Count } from '../core/cells.ts'
import type { Clock, Sweep, Swept } from '../core/clock.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'
import { resetSocket } from '../endpoint/reset.ts'

const LINGER_MS = 1000
/** No limit counts them, so they must fit into the reserve of descriptors (lifecycle/descriptors.ts). */
const MAX_LINGERING = 32

export class Refusals {
  readonly #clock: Clock
  readonly #sweep: Sweep
  readonly #lingering: Count

  /** `lingering`: counts those of all threads. */
  constructor(clock: Clock, sweep: Sweep, lingering: Count = new LocalCount()) {
    this.#clock = clock
    this.#sweep = sweep
    this.#lingering = lingering
  }

  /** Takes ownership of `endpoint`. `answerOf` is called only where there is room for an answer. */
  refuse(endpoint: Endpoint, answerOf: () => Buffer | null): void {
    const answer = this.#lingering.held >= MAX_LINGERING ? null : answerOf()
    if (answer === null || !this.#lingering.take(MAX_LINGERING)) {
      endpoint.owner = noOwner
      endpoint.close('reset')
      return
    }
    const done = (): void => this.#lingering.release()
    endpoint.owner = new Lingering(endpoint, this.#clock.now() + LINGER_MS, this.#sweep, done)
    endpoint.write(answer, 0, answer.length)
    endpoint.close('flush')
  }

  /** As `refuse`, for a socket that speaks for itself: `farewell` runs in a turn of its own, and ends it. */
  part(socket: Socket, farewell: () => void): void {
    if (!this.#lingering.take(MAX_LINGERING)) return resetSocket(socket)
    const lingering = new LingeringSocket(socket, this.#clock.now() + LINGER_MS)
    this.#sweep.add(lingering)
    socket.once('close', () => {
      this.#sweep.delete(lingering)
      this.#lingering.release()
    })
    this.#clock.nextTurn(() => {
      if (!socket.destroyed) farewell()
    })
  }
}

/** A socket whose last words are on their way. */
class LingeringSocket implements Swept {
  readonly #socket: Socket
  readonly #until: number

  constructor(socket: Socket, until: number) {
    this.#socket = socket
    this.#until = until
  }

  sweep(now: number): void {
    if (now >= this.#until) resetSocket(this.#socket)
  }
}

class Lingering implements EndpointOwner, Swept {
  readonly #endpoint: Endpoint
  readonly #until: number
  readonly #sweep: Sweep
  readonly #done: () => void

  constructor(endpoint: Endpoint, until: number, sweep: Sweep, done: () => void) {
    this.#endpoint = endpoint
    this.#until = until
    this.#sweep = sweep
    this.#done = done
    sweep.add(this)
  }

  sweep(now: number): void {
    if (now >= this.#until) this.#endpoint.close('reset')
  }

  onBroken(): void {
    this.#endpoint.close('reset')
  }

  onBytes(): boolean {
    return true
  }

  onEnd(): void {}

  onProgress(): void {}

  onClosed(): void {
    this.#sweep.delete(this)
    this.#done()
  }
}

/** The owner of an endpoint whose events no longer matter. */
export const noOwner: EndpointOwner = {
  onBytes: () => true,
  onEnd() {},
  onProgress() {},
  onClosed() {},
}
