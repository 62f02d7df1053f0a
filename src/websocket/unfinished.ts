// An unfinished message: how old it is, and whether it goes on at a least rate.
//
// Stops: clients that each keep most of a message in the gate's memory (messages mode) and send a byte a
// second. Does not end: a message on a poor link, one that we do not read because the other side is slow or a
// limit delays it, and the silence between two messages. Prior art: the MinRate of Apache's mod_reqtimeout
// (500 bytes a second).

import { makeClose, type Close } from '../core/close.ts'
import { earliest, type NextDeadline } from '../core/wait.ts'
import type { Half } from '../pair/half.ts'
import type { FrameScanner } from './frame-scanner.ts'

/** Payload bytes, in the mean of one `messageTimeout`: a quarter of what the slowest mobile link carries. */
export const LEAST_BYTES_PER_SEC = 512

export class Unfinished {
  readonly #scanner: FrameScanner
  /** The number of the message: how many were complete before it. */
  #messages = -1
  /** When a sweep first saw the message. */
  since = 0
  /** The judged window: since when, and from which byte of the message on. */
  #windowAt = 0
  #windowBytes = 0

  constructor(scanner: FrameScanner) {
    this.#scanner = scanner
  }

  /** When the message will be too slow unless enough of it comes; null between two messages. */
  dueAt(timeoutMs: number): number | null {
    return this.#scanner.isInMessage ? this.#windowAt + timeoutMs : null
  }

  /** The end of the pair if too little came for `timeoutMs`, else null; `half` carries the message. */
  check({ source, isBackpressured, isDelayed }: Half, timeoutMs: number, now: number): Close | null {
    if (!this.sweep(timeoutMs, isBackpressured || isDelayed, now)) return null
    const age = ((now - this.since) / 1000).toFixed(1)
    return makeClose(
      'too_slow',
      source.side,
      'relay',
      `a message not whole after ${age}s, and hardly moving (websocket.messageTimeout)`,
    )
  }

  /** True if too little came for `timeoutMs`. `isHeld`: it is not read, which is not its sender's fault. */
  sweep(timeoutMs: number, isHeld: boolean, now: number): boolean {
    const { isInMessage, messages, messageBytes } = this.#scanner
    if (!isInMessage || messages !== this.#messages) {
      this.#messages = messages
      this.since = now
      this.#begin(messageBytes, now)
    }
    if (isHeld) this.#begin(messageBytes, now)
    if (!isInMessage || now - this.#windowAt < timeoutMs) return false
    const isTooSlow = (messageBytes - this.#windowBytes) * 1000 < LEAST_BYTES_PER_SEC * (now - this.#windowAt)
    this.#begin(messageBytes, now)
    return isTooSlow
  }

  #begin(bytes: number, now: number): void {
    this.#windowAt = now
    this.#windowBytes = bytes
  }
}

/** The unfinished messages of both directions of one WebSocket. */
export class UnfinishedMessages {
  readonly #toUpstream: Unfinished
  readonly #toClient: Unfinished

  constructor(fromClient: FrameScanner, fromUpstream: FrameScanner) {
    this.#toUpstream = new Unfinished(fromClient)
    this.#toClient = new Unfinished(fromUpstream)
  }

  /** The end of the pair if one of the messages hardly goes on, else null. */
  check(toUpstream: Half, toClient: Half, timeoutMs: number, now: number): Close | null {
    return (
      this.#toUpstream.check(toUpstream, timeoutMs, now) ?? this.#toClient.check(toClient, timeoutMs, now)
    )
  }

  /** Since when `half` carries an unfinished message; null between two messages. */
  since({ direction }: Half): number | null {
    const one = direction === 'to_upstream' ? this.#toUpstream : this.#toClient
    return one.dueAt(0) === null ? null : one.since
  }

  next(timeoutMs: number): NextDeadline | null {
    const due = (
      [
        ['client', this.#toUpstream],
        ['upstream', this.#toClient],
      ] as const
    ).map(([side, one]): NextDeadline | null => {
      const at = one.dueAt(timeoutMs)
      return at === null ? null : { key: 'websocket.messageTimeout', reason: 'too_slow', side, at }
    })
    return earliest(due)
  }
}
