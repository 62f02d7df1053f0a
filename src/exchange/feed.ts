// What a client sends, handed to Node's parser one request at a time: a head up to its empty line, a body up to its end, and nothing of the
// next request before the answer is done. (Given a whole read, the parser makes two objects for each request in it: a megabyte of
// pipelined requests costs 300 MB.) What comes before its turn waits here; beyond a bound it is not read, and TCP holds the client back.
//
// Bodies are judged on the way in, so that nothing of them depends on who reads when: their size against `http.maxBody`, and what the
// syntax of chunks takes against what it carries.

import type { Socket } from 'node:net'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { ChunkedScanner } from '../http1/chunked.ts'
import { refused } from '../http1/refusal.ts'

/** The connection that is fed. */
export interface Fed {
  /** A request is under way. */
  readonly isServing: boolean
  readonly isClosing: boolean
  /** What comes cannot be read. */
  fail(close: Close): void
  close(close: Close): void
}

/** Bytes behind the request under way beyond which the client is not read: up to there it is seen to leave. */
const MAX_HELD = 16 * 1024
const EMPTY_LINE = Buffer.from('\r\n\r\n')
const NOTHING = Buffer.alloc(0)

export class Feed {
  readonly #socket: Socket
  readonly #owner: Fed
  readonly #maxBodyBytes: number
  readonly #parse: (bytes: Buffer) => void
  /** What waits for its turn; never empty. */
  #rest: Buffer | null = null
  /** The end of what was fed of a head, where an empty line may have begun. */
  #tail: Buffer = NOTHING
  /** What is left of the body: so many bytes, or chunks. */
  #body: number | ChunkedScanner = 0
  #isFeeding = false
  #isPaused = false
  #isOver = false

  /** Node's http.Server was given the socket. */
  constructor(socket: Socket, owner: Fed, maxBodyBytes: number) {
    this.#socket = socket
    this.#owner = owner
    this.#maxBodyBytes = maxBodyBytes
    this.#parse = socket.listeners('data')[0] as (bytes: Buffer) => void
    socket.off('data', this.#parse)
    socket.on('data', this.#onData) // through Node's own `on`: the parser reads the descriptor itself until somebody listens
    // Node resumes the socket behind each message, and whenever a body is read.
    const resume = socket.resume.bind(socket)
    socket.resume = () => (this.#isFull ? socket : resume())
  }

  /** Bytes that were read and not fed. */
  get held(): number {
    return this.#rest?.length ?? 0
  }

  /** The request under way has a body: of so many bytes, null for chunks. */
  expectBody(bytes: number | null): void {
    this.#body = bytes ?? new ChunkedScanner()
  }

  /** Feeds what may go on. */
  next(): void {
    if (this.#isFeeding) return
    this.#isFeeding = true
    while (this.#rest !== null && this.#mayFeed()) this.#feed(this.#rest)
    this.#isFeeding = false
    // What waits keeps no larger read alive.
    if (this.#rest !== null && this.#rest.length * 2 < this.#rest.buffer.byteLength) this.#rest = Buffer.from(this.#rest)
    if (this.#isOver || this.#isPaused === this.#isFull) return
    this.#isPaused = this.#isFull
    if (this.#isPaused) this.#socket.pause()
    else this.#socket.resume()
  }

  /** Feeds no more; gives back what was not fed. */
  stop(): Buffer {
    const rest = this.#rest ?? NOTHING
    this.#rest = null
    this.#isOver = true
    this.#socket.off('data', this.#onData)
    Reflect.deleteProperty(this.#socket, 'resume')
    return rest
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#rest = this.#rest === null ? bytes : Buffer.concat([this.#rest, bytes])
    this.next()
  }

  get #isFull(): boolean {
    return this.held > MAX_HELD && !this.#owner.isClosing
  }

  get #hasBody(): boolean {
    return typeof this.#body === 'number' ? this.#body > 0 : !this.#body.isComplete
  }

  #mayFeed(): boolean {
    // Read on to the end of what the client sends, so that it reads our last answer.
    if (this.#owner.isClosing) this.#rest = null
    return this.#rest !== null && (!this.#owner.isServing || this.#hasBody)
  }

  #feed(bytes: Buffer): void {
    const length = this.#hasBody ? this.#bodyIn(bytes) : this.#headIn(bytes)
    if (length < 0) return
    this.#rest = length === bytes.length ? null : bytes.subarray(length)
    this.#parse(bytes.subarray(0, length))
  }

  #headIn(bytes: Buffer): number {
    const tail = this.#tail
    const seam = tail.length === 0 ? -1 : Buffer.concat([tail, bytes.subarray(0, EMPTY_LINE.length - 1)]).indexOf(EMPTY_LINE)
    const end = seam < 0 ? bytes.indexOf(EMPTY_LINE) : seam - tail.length
    if (end < 0 && seam < 0) {
      this.#tail = Buffer.concat([tail, bytes.subarray(1 - EMPTY_LINE.length)]).subarray(1 - EMPTY_LINE.length)
      return bytes.length
    }
    this.#tail = NOTHING
    return end + EMPTY_LINE.length
  }

  /** -1: the connection has ended for it. */
  #bodyIn(bytes: Buffer): number {
    if (typeof this.#body === 'number') {
      const length = Math.min(this.#body, bytes.length)
      this.#body -= length
      return length
    }
    const length = this.#body.scan(bytes, bytes.length)
    if (length >= 0 && !this.#body.isMostlySyntax && this.#body.dataBytes <= this.#maxBodyBytes) return length
    if (length < 0) this.#end(() => this.#owner.fail(refused('malformed chunked body')))
    else if (this.#body.isMostlySyntax) this.#end(() => this.#owner.fail(refused('chunks that are hardly more than their syntax')))
    else this.#end(() => this.#owner.close({ ...makeClose('message_too_big', 'client', 'relay', 'request body (http.maxBody)'), httpStatus: 413 }))
    return -1
  }

  #end(close: () => void): void {
    this.#body = 0
    this.#rest = null
    close()
  }
}
