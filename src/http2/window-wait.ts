// The wait for the window of a client's connection: the streams' own windows are open, and the connection's
// is shut.
//
// | deadlines.write | no DATA goes out, and none leaves the socket | a link so slow that the window opens late        |
// | limits.minRate  | hardly any does, of all streams together     | a stream that gets little, as others get much    |
//
// A shut window proves nothing while the bytes that it let out are still on their way: the kernel is asked
// how many of them are.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { PairLimits } from '../limits/meter.ts'
import { DrainRate, tooSlow } from '../limits/min-rate.ts'
import { CloseLook } from '../pair/progress.ts'
import type { ClientFlow } from './flow.ts'

/** A stream, for the wait of its connection. */
export interface WaitingStream {
  readonly isWaitingForConnection: boolean
}

export class WindowWait {
  readonly #flow: ClientFlow
  readonly #limits: PairLimits | undefined
  readonly #look = new CloseLook()
  readonly #pace = new DrainRate()
  /** DATA that the client had taken at the last sweep. */
  #taken = 0
  #hasReported = false
  /** When the client last took DATA, or none waited. */
  lastDrainAt: number

  constructor(flow: ClientFlow, limits: PairLimits | undefined, now: number) {
    this.#flow = flow
    this.#limits = limits
    this.lastDrainAt = now
  }

  check(streams: Iterable<WaitingStream>, sink: Endpoint, writeMs: number, now: number): Close | null {
    const { isShut, sent, dataAt } = this.#flow
    const isWaiting = isShut && [...streams].some((one) => one.isWaitingForConnection)
    // Frames after the last DATA, of which a client may ask for many (PING), are no progress.
    const taken = Math.min(dataAt, sent - sink.unacked)
    if (!isWaiting || taken > this.#taken) this.lastDrainAt = now
    this.#taken = taken
    if (this.#look.isDue(sink, this.lastDrainAt, writeMs, now)) return stalled(now - this.lastDrainAt)
    return this.#tooSlow(isWaiting, sink, now)
  }

  #tooSlow(isWaiting: boolean, sink: Endpoint, now: number): Close | null {
    const minRate = this.#limits?.minRate ?? null
    if (minRate === null) return null
    const taking = {
      queued: isWaiting ? 1 : 0,
      // Never 0, which would mean that it waits for something else.
      unacked: this.#flow.dataAt - this.#taken + 1,
      measurements: sink.measurements,
      measure: () => sink.measure(),
    }
    if (!this.#pace.isTooSlow(minRate, taking, this.#flow.dataAt, now)) return null
    if (!this.#hasReported) this.#limits!.report('minRate', 'close', minRate.isEnforced)
    this.#hasReported = true
    return minRate.isEnforced ? tooSlow('client') : null
  }
}

function stalled(ms: number): Close {
  const words = `did not open the window of its connection for ${(ms / 1000).toFixed(1)}s (deadlines.write)`
  return makeClose('write_timeout', 'client', 'relay', words)
}
