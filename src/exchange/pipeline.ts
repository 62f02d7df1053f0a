// Requests that a client sent before the answer to an earlier one was done: they wait for their turn, in order, and are bounded. What
// cannot be served any more is not read either.

import type { Socket } from 'node:net'
import type { Clock } from '../core/clock.ts'

/** Browsers do not pipeline at all. */
const MAX_WAITING = 32

export class Pipeline {
  readonly #waiting: Array<() => void> = []
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #owner: { readonly isClosing: boolean }
  #isStopping = false

  constructor(socket: Socket, clock: Clock, owner: { readonly isClosing: boolean }) {
    this.#socket = socket
    this.#clock = clock
    this.#owner = owner
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** False: too many wait already. */
  add(run: () => void): boolean {
    if (this.#waiting.length >= MAX_WAITING) return false
    this.#waiting.push(run)
    return true
  }

  runNext(): void {
    this.#waiting.shift()?.()
  }

  clear(): void {
    this.#waiting.length = 0
  }

  /** In the next turn: Node's parser resumes the socket behind every message that it completes (`readStart`). */
  stopReading(): void {
    if (this.#isStopping) return
    this.#isStopping = true
    this.#clock.nextTurn(() => {
      this.#isStopping = false
      if (!this.#owner.isClosing) this.#socket.pause()
    })
  }
}
