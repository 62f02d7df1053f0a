// Looks at avoided addresses. Where there is another address, no client tries one whose dial failed: an
// address that swallows packets (a node that is down, an IPv6 route that leads nowhere) would cost one client
// half of `deadlines.connect` every few seconds, for as long as it is there. So the gate dials it first,
// beside the path, and connections go elsewhere until such a dial succeeds.

import type { Clock } from '../core/clock.ts'
import type { Dial, SocketDialler } from './dial.ts'
import { isOurs } from './failures.ts'
import type { UpstreamTarget } from './target.ts'

export interface LooksContext {
  clock: Clock
  dial(target: UpstreamTarget, dialler: SocketDialler): Dial
}

export class Looks {
  readonly #context: LooksContext
  readonly #dials = new Map<UpstreamTarget, Dial>()

  constructor(context: LooksContext) {
    this.#context = context
  }

  /** The result is the target's, as that of a dial for a connection is. */
  begin(target: UpstreamTarget): void {
    if (this.#dials.has(target)) return
    const { clock } = this.#context
    target.avoidOn(clock.now())
    const look = this.#context.dial(target, {
      onSocket: (socket) => {
        socket.on('error', ignore)
        socket.destroy()
        this.#dials.delete(target)
        target.onDialled()
      },
      onDialFailed: (close) => {
        this.#dials.delete(target)
        if (!isOurs(close)) target.onDialFailed(close.detail ?? close.reason, clock.now(), clock.wall())
      },
    })
    this.#dials.set(target, look)
  }

  stop(): void {
    for (const dial of this.#dials.values()) dial.cancel()
    this.#dials.clear()
  }
}

function ignore(): void {}
