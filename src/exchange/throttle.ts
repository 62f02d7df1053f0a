// `limits.bytes` for plain HTTP: the bodies of requests and answers pass a stage that lets them on at the rate, and holds one
// chunk back until its bucket has the tokens. Behind it streams fill up and sockets are read no more, so the sender is slowed
// down by TCP as everywhere; what is in those streams is bounded by Node's marks. Heads are paid for, too: a request that
// cannot pay for its head is not sent on before it can.
//
// One meter for a client's connection; it serves one exchange after the other.

import { Transform } from 'node:stream'
import type { TransformCallback } from 'node:stream'
import { makeClose } from '../core/close.ts'
import type { Close, PeerSide } from '../core/close.ts'
import type { PairLimits, PairRates, Rate } from '../limits/meter.ts'
import type { Waiter } from '../limits/pacer.ts'

/** Pays for `bytes` when the bucket can, then runs `go`; null while nothing waits. */
class Toll implements Waiter {
  readonly #rate: Rate
  readonly #limits: PairLimits
  readonly #onOver: () => void
  #bytes = 0
  #go: (() => void) | null = null

  constructor(rate: Rate, limits: PairLimits, onOver: () => void) {
    this.#rate = rate
    this.#limits = limits
    this.#onOver = onOver
  }

  get isWaiting(): boolean {
    return this.#go !== null
  }

  /** A chunk may be larger than the burst; it goes when the bucket is full, and leaves a debt. */
  get needs(): number {
    return Math.min(this.#bytes, this.#rate.bucket.burst)
  }

  /** Runs `go` now, later, or, over a limit that closes, never. */
  pay(bytes: number, go: () => void): void {
    const { bucket, onExceed, isEnforced } = this.#rate
    const { clock, pacer, report } = this.#limits
    const now = clock.now()
    this.#bytes = bytes
    const isDelayed = isEnforced && onExceed === 'delay'
    if (bucket.has(isDelayed ? this.needs : bytes, now)) {
      bucket.spend(bytes, now)
      return go()
    }
    report('bytes', onExceed, isEnforced)
    if (!isEnforced) return go()
    if (!isDelayed) return this.#onOver()
    this.#go = go
    pacer.wait(bucket, this)
  }

  onTurn(now: number): number {
    const go = this.#go
    this.#go = null
    this.#rate.bucket.spend(this.#bytes, now)
    go?.()
    return 0
  }

  leave(): void {
    if (this.#go !== null) this.#limits.pacer.leave(this.#rate.bucket, this)
    this.#go = null
  }
}

/** A body on its way. */
export class Throttle extends Transform {
  readonly #toll: Toll

  constructor(toll: Toll) {
    super()
    this.#toll = toll
  }

  /** Something waits for tokens, and the source may be unread for that. */
  get isDelayed(): boolean {
    return this.#toll.isWaiting
  }

  /** All has gone on. */
  get isDone(): boolean {
    return this.readableEnded
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#toll.pay(chunk.length, () => done(null, chunk))
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#toll.leave()
    done(error)
  }
}

export class HttpMeter {
  readonly #rates: PairRates
  readonly #limits: PairLimits
  readonly #close: (close: Close) => void
  readonly #head: Toll | null
  #body: Throttle | null = null
  #reply: Throttle | null = null

  /** `close` ends the connection whose limit is exceeded. */
  constructor(rates: PairRates, limits: PairLimits, close: (close: Close) => void) {
    this.#rates = rates
    this.#limits = limits
    this.#close = close
    this.#head = this.#toll('client')
  }

  /** The client is not read, or its request not sent on, because of a limit. */
  get isBodyDelayed(): boolean {
    return this.#head?.isWaiting === true || this.#body?.isDelayed === true
  }

  /** Nothing of the request is held back any more. */
  get hasSentBody(): boolean {
    return this.#head?.isWaiting !== true && (this.#body === null || this.#body.isDone)
  }

  get isReplyDelayed(): boolean {
    return this.#reply?.isDelayed === true
  }

  /** Runs `go` when the head of a request is paid for. */
  payHead(bytes: number, go: () => void): void {
    if (this.#head === null) return go()
    this.#head.pay(bytes, go)
  }

  /** What the body of a request must pass; null where it is not limited. */
  throttleBody(): Throttle | null {
    const toll = this.#toll('client')
    return toll && (this.#body = new Throttle(toll))
  }

  throttleReply(headBytes: number): Throttle | null {
    const toll = this.#toll('upstream')
    if (toll === null) return null
    // An answer that has come is sent on; its body pays off what its head owes.
    const { bucket, onExceed, isEnforced } = this.#rates.toClient.bytes!
    if (isEnforced && onExceed === 'delay') bucket.spend(headBytes, this.#limits.clock.now())
    else bucket.take(headBytes, this.#limits.clock.now())
    return (this.#reply = new Throttle(toll))
  }

  /** The exchange is over. */
  end(): void {
    this.#head?.leave()
    this.#body?.destroy()
    this.#reply?.destroy()
    this.#body = this.#reply = null
  }

  #toll(side: PeerSide): Toll | null {
    const rate = side === 'client' ? this.#rates.toUpstream.bytes : this.#rates.toClient.bytes
    return rate && new Toll(rate, this.#limits, () => this.#close(makeClose('rate_limited', side, 'relay', 'limits.bytes')))
  }
}

/** What a head takes on the wire, give or take the spaces around its values. */
export function headBytes(firstLine: number, rawHeaders: readonly string[]): number {
  return rawHeaders.reduce((sum, text) => sum + text.length + 2, firstLine + 4)
}
