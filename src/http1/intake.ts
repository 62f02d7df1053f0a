// The intake: the bytes of a client, as heads, bodies, and requests before their turn. It holds a little of
// such early requests, or the rest of the read that brought them; all later bytes wait in the client's
// socket.

import { EarlyShare } from '../core/early-share.ts'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { HeapWatch } from '../core/strain.ts'
import { CHUNK_COST } from '../core/turns.ts'
import type { Half } from '../pair/half.ts'
import type { Exchange } from './exchange.ts'
import { forwardTrailers } from './forwarding.ts'
import type { RequestHead } from './head.ts'
import { HeadCollector, MORE, TOO_BIG } from './head-collector.ts'
import { notHttp } from './not-http.ts'
import type { HttpContext, HttpOptions } from './options.ts'
import { refused } from './refusal.ts'
import { readRequestHead } from './request-head.ts'
import { NOTHING } from '../core/nothing.ts'

/**
 * How much is read of a body before its upstream is reached, and of requests before their turn; the last read
 * may exceed it.
 */
const EARLY_BYTES = 16_384

export interface IntakeOwner {
  /** The request under way. */
  readonly exchange: Exchange | null
  readonly isOver: boolean
  /** The first byte of a head came. */
  onHeadBegun(): void
  /** A head of so many bytes is complete; `early` are the bytes after it, which the owner may take. */
  onRequest(request: RequestHead, early: Buffer, headBytes: number): void
  close(close: Close): void
}

export class Intake {
  readonly #options: HttpOptions
  readonly #owner: IntakeOwner
  readonly #half: Half
  readonly #head: HeadCollector
  readonly #clock: HttpContext['clock']
  readonly #heap: HeapWatch
  /** The share of the bytes that wait here, and in the exchange for its upstream. */
  readonly #share: EarlyShare
  /** Since when none of those bytes went on; null where none wait. */
  heldSince: number | null = null
  #held: Buffer | null = null
  #heldAt = 0
  #isTaking = false

  constructor(
    half: Half,
    options: HttpOptions,
    owner: IntakeOwner,
    context: Pick<HttpContext, 'clock' | 'strain'>,
  ) {
    this.#half = half
    this.#options = options
    this.#owner = owner
    this.#head = new HeadCollector(options.maxHeaderBytes, options.lenient === 'both')
    this.#clock = context.clock
    this.#heap = context.strain.heap
    this.#share = new EarlyShare(context.strain.early)
  }

  /** No head has begun. */
  get isEmpty(): boolean {
    return this.#head.isEmpty
  }

  /** Bytes of a read are being processed: a callee need not call `goOn` meanwhile. */
  get isTaking(): boolean {
    return this.#isTaking
  }

  /** Bytes that wait here for their turn. */
  get held(): number {
    return this.#held === null ? 0 : this.#held.length - this.#heldAt
  }

  onBytes(bytes: Buffer, length: number): void {
    const at = this.#held === null ? this.#take(bytes, 0, length) : 0
    if (at < length && !this.#owner.isOver) this.#hold(bytes, at, length)
    this.#settle()
  }

  /** Reports the number of waiting bytes. */
  #settle(): void {
    const waiting = this.#owner.isOver ? 0 : this.held + (this.#owner.exchange?.waiting ?? 0)
    const before = this.#share.bytes
    if (waiting === before) return
    if (waiting === 0) this.heldSince = null
    else if (waiting < before || before === 0) this.heldSince = this.#clock.now()
    this.#share.settle(waiting)
  }

  /** Whether so many bytes may wait; if not, the conversation ends. */
  #hasRoom(bytes: number): boolean {
    if (this.#share.hasRoom(bytes)) return true
    this.#owner.close(makeClose('overloaded', 'sidegate', 'relay', 'memory.buffered'))
    return false
  }

  /** Reads a little beyond the held bytes, so that a client that leaves is noticed. */
  #hold(bytes: Buffer, start: number, end: number): void {
    if (!this.#hasRoom(this.held + end - start + (this.#owner.exchange?.waiting ?? 0))) return
    const before = this.#held?.subarray(this.#heldAt) ?? NOTHING
    const held = Buffer.allocUnsafeSlow(before.length + end - start)
    before.copy(held)
    bytes.copy(held, before.length, start, end)
    this.#held = held
    this.#heldAt = 0
    if (held.length >= EARLY_BYTES) this.#half.hold()
  }

  /** Takes the held bytes, as far as they can be used, and reads on. */
  goOn(): void {
    if (this.#held !== null) this.#heldAt = this.#take(this.#held, this.#heldAt, this.#held.length)
    const isAllTaken = this.#held === null || this.#heldAt === this.#held.length
    if (isAllTaken) this.#held = null
    this.#settle()
    if (isAllTaken && !this.#owner.isOver) this.#half.letGo()
  }

  /** A head of so many bytes waits for its end, or for its upstream; without room the conversation ends. */
  weighHead(bytes: number): void {
    if (this.#share.weighHead(bytes)) return
    const phase = this.#owner.exchange === null ? 'handshake' : 'relay'
    this.#owner.close(makeClose('overloaded', 'sidegate', phase, 'memory.buffered'))
  }

  /** Nothing more is served. */
  drop(): void {
    this.#held = null
    this.#head.reset()
    this.weighHead(0)
    this.#settle()
  }

  /** Takes the usable part of `bytes[start..end)`, and returns its end. */
  #take(bytes: Buffer, start: number, end: number): number {
    this.#isTaking = true
    let at = start
    while (at < end && !this.#owner.isOver) {
      const { exchange } = this.#owner
      if (exchange === null) at = this.#takeHead(bytes, at, end)
      else if (exchange.isRequestComplete || exchange.waiting >= EARLY_BYTES) break
      else if (exchange.reachedAt === null && !this.#hasRoom(exchange.waiting + end - at)) break
      else at = this.#takeBody(exchange, bytes, at, end)
    }
    this.#isTaking = false
    return this.#owner.isOver ? end : at
  }

  #takeHead(bytes: Buffer, start: number, end: number): number {
    const begin = this.#head.skipEmptyLines(bytes, start, end)
    if (begin === end) return end
    if (this.#head.isEmpty) this.#owner.onHeadBegun()
    const at = this.#head.read(bytes, begin, end)
    if (at === TOO_BIG)
      this.#owner.close({
        ...makeClose('message_too_big', 'client', 'handshake', 'request head (http.maxHeader)'),
        httpStatus: 431,
      })
    const isShort = this.#heap.isShort((at < 0 ? end : at) - begin)
    if (at === MORE) this.#judgeBegin(isShort)
    if (at < 0) return end
    this.weighHead(0)
    const text = this.#head.take()
    const request = readRequestHead(text, this.#options.lenient === 'both')
    if (typeof request === 'string') this.#owner.close(refused(notHttp(text) ?? request))
    else this.#owner.onRequest(request, at === end ? NOTHING : bytes.subarray(at, end), text.length)
    return at
  }

  /** Refuses bytes that cannot become a request, or for which there is no room, without waiting for more. */
  #judgeBegin(isShort: boolean): void {
    const problem = this.#options.lenient === 'both' ? null : notHttp(this.#head.begin)
    if (problem !== null) this.#owner.close(refused(problem))
    else if (isShort) this.#owner.close(makeClose('overloaded', 'sidegate', 'handshake', 'memory.refuseAt'))
    else this.weighHead(this.#head.heldBytes)
  }

  #takeBody(exchange: Exchange, bytes: Buffer, start: number, end: number): number {
    const { requestBody: body, toUpstream: writer } = exchange
    const before = body.chunks
    const at = body.read(bytes, start, end, writer!)
    this.#half.spend((body.chunks - before) * CHUNK_COST)
    if (at < 0) this.#owner.close(refused(body.problem))
    else if (writer!.bytes > this.#options.maxBodyBytes)
      this.#owner.close({
        ...makeClose('message_too_big', 'client', 'relay', 'request body (http.maxBody)'),
        httpStatus: 413,
      })
    if (this.#owner.isOver) return end
    this.#half.activity++
    writer!.flush()
    if (body.isComplete) writer!.end(forwardTrailers(body.trailers))
    return at
  }
}
