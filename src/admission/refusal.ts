// Says no to a connection that no gate let in, cheaply: an answer if its protocol has one, then FIN, else RST.
//
// An HTTP answer needs a moment to be read: closing at once, with the request still unread, would make the kernel send
// an RST that can destroy the answer. So a bounded number of refusals linger, for a bounded time; the rest get RST.

import type { Socket } from 'node:net'
import type { Clock, Sweep, Swept } from '../core/clock.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'
import { resetSocket } from '../endpoint/reset.ts'

const LINGER_MS = 1000
/** They are counted by no limit, so they must fit into the reserve of descriptors (lifecycle/descriptors.ts). */
const MAX_LINGERING = 32

export class Refusals {
  readonly #clock: Clock
  readonly #sweep: Sweep
  #lingering = 0

  constructor(clock: Clock, sweep: Sweep) {
    this.#clock = clock
    this.#sweep = sweep
  }

  /** Takes ownership of `endpoint`. `answerOf` is asked only where there is room for an answer. */
  refuse(endpoint: Endpoint, answerOf: () => Buffer | null): void {
    const answer = this.#lingering >= MAX_LINGERING ? null : answerOf()
    if (answer === null) {
      endpoint.owner = deaf
      endpoint.close('reset')
      return
    }
    this.#lingering++
    const done = (): void => void this.#lingering--
    endpoint.owner = new Lingering(endpoint, this.#clock.now() + LINGER_MS, this.#sweep, done)
    endpoint.write(answer, 0, answer.length)
    endpoint.close('flush')
  }

  /** As `refuse`, for a socket that speaks for itself: `farewell` is called in a turn of its own, and ends it. */
  part(socket: Socket, farewell: () => void): void {
    if (this.#lingering >= MAX_LINGERING) return resetSocket(socket)
    this.#lingering++
    const parting = new Parting(socket, this.#clock.now() + LINGER_MS)
    this.#sweep.add(parting)
    socket.once('close', () => {
      this.#sweep.delete(parting)
      this.#lingering--
    })
    this.#clock.nextTurn(() => {
      if (!socket.destroyed) farewell()
    })
  }
}

/** A socket whose last words are on their way. */
class Parting implements Swept {
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

/** For an endpoint that nobody listens to any more. */
export const deaf: EndpointOwner = {
  onBytes: () => true,
  onEnd() {},
  onProgress() {},
  onClosed() {},
}
