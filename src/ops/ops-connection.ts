// One connection of the health or the admin server: at most one answer at a time, written in pieces so that
// progress is visible, with the kernel's queue as the only other buffer.

import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock, Sweep, Swept } from '../core/clock.ts'
import type { Answer } from './answer.ts'

/** A write reports its progress only when it is complete, so small pieces show a slow reader's progress. */
const PIECE_BYTES = 16 * 1024

/** A scraper that reads nothing for so long is cut; one that reads slowly is not. */
export const PROGRESS_MS = 5000

export class OpsConnection implements Swept {
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #sweep: Sweep
  #response: ServerResponse | null = null
  /** When the peer last took a piece; null while nothing is being written. */
  #progressAt: number | null = null

  constructor(socket: Socket, clock: Clock, sweep: Sweep) {
    this.#socket = socket
    this.#clock = clock
    this.#sweep = sweep
  }

  /** It is not displaced by new connections while it waits for its answer. */
  isKept = false

  get isAnswering(): boolean {
    return this.#response !== null
  }

  /** Judges only while an answer is written: a slow handler is not the peer's fault. */
  sweep(now: number): void {
    if (this.#progressAt !== null && now - this.#progressAt >= PROGRESS_MS) this.reset()
  }

  onBroken(): void {
    this.reset()
  }

  /** The signal is aborted when the answer is complete, or the client has left. */
  begin(response: ServerResponse): AbortSignal {
    const over = new AbortController()
    this.#response = response
    this.#sweep.add(this)
    response.once('close', () => {
      this.#sweep.delete(this)
      this.#response = null
      this.#progressAt = null
      this.isKept = false
      over.abort()
    })
    // The peer may vanish during the write; 'close' follows.
    response.on('error', () => {})
    return over.signal
  }

  /** Rejects if a body that is made piece by piece cannot be finished. */
  async send(answer: Answer, headOnly: boolean): Promise<void> {
    const response = this.#response
    if (response === null || response.destroyed) return
    const body = typeof answer.body === 'string' ? Buffer.from(answer.body) : answer.body
    // A refused request may have a body that is not worth reading.
    if (answer.status >= 400 && answer.status < 500) response.setHeader('Connection', 'close')
    response.writeHead(answer.status, {
      'Content-Type': answer.contentType ?? 'text/plain; charset=utf-8',
      ...(Buffer.isBuffer(body) && answer.status !== 304 ? { 'Content-Length': body.length } : {}),
      'Cache-Control': 'no-store',
      ...answer.headers,
      'X-Content-Type-Options': 'nosniff',
    })
    this.#progressAt = this.#clock.now()
    if (headOnly) response.end()
    else if (Buffer.isBuffer(body)) this.#sendFrom(response, body, 0)
    else await this.#sendPieces(response, body)
  }

  /** Makes the next piece when the peer has taken the last one. If the peer leaves, no more are made. */
  async #sendPieces(response: ServerResponse, pieces: AsyncIterable<string | Buffer>): Promise<void> {
    // Making a piece may take its time, the process may even stand still; only a peer that takes nothing is
    // cut.
    this.#progressAt = null
    for await (const piece of pieces) {
      const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece
      for (let offset = 0; offset < bytes.length; offset += PIECE_BYTES) {
        this.#progressAt = this.#clock.now()
        if (!(await isTaken(response, bytes.subarray(offset, offset + PIECE_BYTES)))) return
      }
      this.#progressAt = null
    }
    this.#progressAt = this.#clock.now()
    response.end()
  }

  #sendFrom(response: ServerResponse, body: Buffer, offset: number): void {
    const end = offset + PIECE_BYTES
    if (end >= body.length) {
      response.end(body.subarray(offset))
      return
    }
    response.write(body.subarray(offset, end), (error) => {
      if (error) return
      this.#progressAt = this.#clock.now()
      this.#sendFrom(response, body, end)
    })
  }

  drop(): void {
    this.#socket.destroy()
  }

  /** RST, since a FIN would leave unread bytes in the kernel's queue. */
  reset(): void {
    // Node throws for a Unix socket, which has no RST (and no remote family).
    if (this.#socket.remoteFamily === undefined) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
  }
}

/** Resolves once the kernel has the bytes; false if the connection is gone. */
function isTaken(response: ServerResponse, bytes: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const onClose = (): void => resolve(false)
    response.once('close', onClose)
    response.write(bytes, (error) => {
      response.off('close', onClose)
      resolve(!error)
    })
  })
}
