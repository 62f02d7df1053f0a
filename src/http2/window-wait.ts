// The wait for the window of a client's connection: streams would be taken, and what carries them is not.
//
// | deadlines.write | no DATA goes out, and none is taken off the socket    | a link so slow that the window takes long to be opened |
// | limits.minRate  | hardly any is, of all streams together                | a stream that gets little because others get much      |
//
// A window that is shut says nothing while what it let out is still on its way: the kernel is asked how much of that is.

import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { PairLimits } from '../limits/meter.ts'
import { DrainRate, tooSlow } from '../limits/min-rate.ts'
import { CloseLook } from '../pair/progress.ts'
import type { ClientFlow } from './flow.ts'

/** As far as its windows are concerned. */
export interface WaitingStream {
  readonly isWaitingForConnection: boolean
}

export class WindowWait {
  readonly #flow: ClientFlow
  readonly #limits: PairLimits | undefined
  readonly #look = new CloseLook()
  readonly #pace = new DrainRate()
  /** DATA that was taken, as of the last sweep. */
  #taken = 0
  #hasReported = false
  /** When some was last taken, or nothing waited. */
  lastDrainAt: number

  constructor(flow: ClientFlow, limits: PairLimits | undefined, now: number) {
    this.#flow = flow
    this.#limits = limits
    this.lastDrainAt = now
  }

  check(streams: Iterable<WaitingStream>, sink: Endpoint, writeMs: number, now: number): Close | null {
    const { isShut, sent, dataAt } = this.#flow
    const isWaiting = isShut && [...streams].some((one) => one.isWaitingForConnection)
    // Frames behind the last DATA, of which a client may ask for many (PING), are no progress.
    const taken = Math.min(dataAt, sent - sink.unacked)
    if (!isWaiting || taken > this.#taken) this.lastDrainAt = now
    this.#taken = taken
    if (isWaiting && this.#look.isDue(sink, this.lastDrainAt, writeMs, now))
      return stalled(now - this.lastDrainAt)
    return this.#tooSlow(isWaiting, sink, now)
  }

  #tooSlow(isWaiting: boolean, sink: Endpoint, now: number): Close | null {
    const minRate = this.#limits?.minRate ?? null
    if (minRate === null) return null
    const taking = {
      queued: isWaiting ? 1 : 0,
      // Never 0, which would say that it waits for something else.
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
