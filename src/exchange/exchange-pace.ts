// `limits.minRate` for an exchange: who owes body, or is owed some, and hardly moves. See pair/min-rate.ts.

import type { Socket } from 'node:net'
import type { Close } from '../core/close.ts'
import { kernelQueue } from '../endpoint/kernel-queue.ts'
import { unwritten } from '../endpoint/read-buffer.ts'
import type { PairLimits } from '../limits/meter.ts'
import { minRateDeadline, Pace, TakingPace, tooSlow } from '../limits/min-rate.ts'
import type { MinRateOptions, Taking } from '../limits/min-rate.ts'
import { earliest } from '../core/wait.ts'
import type { NextDeadline } from '../core/wait.ts'

/** A socket of Node's, as the one who takes. */
class SocketTaking implements Taking {
  readonly #socket: Socket
  #inKernel = 0
  measurements = 0
  readonly #onMeasured = (bytes: number): void => {
    this.measurements++
    this.#inKernel = bytes
  }

  constructor(socket: Socket) {
    this.#socket = socket
  }

  get queued(): number {
    return this.#socket.writableLength
  }

  get untaken(): number {
    const { writableLength } = this.#socket
    return unwritten(this.#socket, writableLength) + this.#inKernel
  }

  measure(): void {
    if (!kernelQueue.measure(this.#socket, this.#onMeasured)) this.measurements = Number.POSITIVE_INFINITY
  }
}

/** What is owed at the moment, and since the last look not because of us. */
export interface Owed {
  byClient: boolean
  isClientExcused: boolean
  byUpstream: boolean
  isUpstreamExcused: boolean
}

export class ExchangePace {
  readonly #options: MinRateOptions
  readonly #report: PairLimits['report']
  readonly #client: Socket
  readonly #clientTaking: SocketTaking
  readonly #clientOwing = new Pace()
  readonly #upstreamOwing = new Pace()
  readonly #clientPace = new TakingPace()
  #upstream: { socket: Socket; taking: SocketTaking; pace: TakingPace } | null = null
  #hasReported = false

  constructor(options: MinRateOptions, report: PairLimits['report'], client: Socket) {
    this.#options = options
    this.#report = report
    this.#client = client
    this.#clientTaking = new SocketTaking(client)
  }

  check(upstream: Socket | null, owed: Owed, now: number): Close | null {
    const side = this.#isClientTooSlow(owed, now) ? 'client' : this.#isUpstreamTooSlow(upstream, owed, now) ? 'upstream' : null
    if (side === null) return null
    const { isEnforced } = this.#options
    if (!this.#hasReported) this.#report('minRate', 'close', isEnforced)
    this.#hasReported = true
    return isEnforced ? tooSlow(side) : null
  }

  /** When a peer is too slow if nothing moves any more, as of the last check. */
  next(): NextDeadline | null {
    const { bytesRead, bytesWritten } = this.#client
    const client = Math.min(this.#clientOwing.dueAt(this.#options, bytesRead), this.#clientPace.dueAt(this.#options, this.#clientTaking, bytesWritten))
    return earliest([minRateDeadline(this.#options, 'client', client), minRateDeadline(this.#options, 'upstream', this.#upstreamDueAt())])
  }

  #upstreamDueAt(): number {
    if (this.#upstream === null) return Number.POSITIVE_INFINITY
    const { socket, taking, pace } = this.#upstream
    return Math.min(this.#upstreamOwing.dueAt(this.#options, socket.bytesRead), pace.dueAt(this.#options, taking, socket.bytesWritten))
  }

  #isClientTooSlow({ byClient, isClientExcused }: Owed, now: number): boolean {
    const { bytesRead, bytesWritten } = this.#client
    if (!byClient) this.#clientOwing.stop()
    else if (this.#clientOwing.isTooSlow(this.#options, bytesRead, isClientExcused, now)) return true
    return this.#clientPace.isTooSlow(this.#options, this.#clientTaking, bytesWritten, now)
  }

  #isUpstreamTooSlow(socket: Socket | null, { byUpstream, isUpstreamExcused }: Owed, now: number): boolean {
    if (socket === null) return false
    if (this.#upstream?.socket !== socket) this.#upstream = { socket, taking: new SocketTaking(socket), pace: new TakingPace() }
    if (!byUpstream) this.#upstreamOwing.stop()
    else if (this.#upstreamOwing.isTooSlow(this.#options, socket.bytesRead, isUpstreamExcused, now)) return true
    return this.#upstream.pace.isTooSlow(this.#options, this.#upstream.taking, socket.bytesWritten, now)
  }
}
