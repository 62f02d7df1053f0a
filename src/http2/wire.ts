// The inner end of a client's connection: an upstream to the pair of that connection, the socket to
// node:http2.
//
//     client's socket --pair: turns, meters, deadlines, the frame scanner--> Wire --push--> node:http2 --> streams
//                     <--------------------------------------------------------   <-write--
//
// So the connection has all that a pair has, and node:http2 never sees a socket. Node's writes go on at once,
// in whole frames, and Node may write again once the client's endpoint has room: a frame of ours may go
// between two of its writes.

import { Duplex } from 'node:stream'
import { freeBuffer } from '../core/free-buffer.ts'
import type { Endpoint, EndpointOwner, LookedAt } from '../endpoint/endpoint.ts'
import { UNKNOWN } from '../endpoint/no-endpoint.ts'
import { Joiner } from './joiner.ts'
import { nobody } from './nobody.ts'

type Callback = (error?: Error | null) => void

export class Wire implements Endpoint {
  readonly side = 'upstream'
  readonly queued = 0
  readonly unacked = 0
  readonly measurements = Number.POSITIVE_INFINITY
  owner: EndpointOwner = nobody
  /** For node:http2. */
  readonly duplex: Duplex
  readonly #later: (run: () => void) => void
  #isPaused = true
  /** Node has begun to read; before that it keeps what it gets. */
  #isRead = false
  #isDone = false
  #isClosed = false
  /** Bytes that Node wrote at the beginning, when no write was possible yet; later ones wait in Node. */
  #waiting: Buffer | null = null
  #written: Callback | null = null

  /** `later` runs in another turn. */
  constructor(later: (run: () => void) => void) {
    this.#later = later
    this.duplex = new Duplex({
      read: () => void (this.#isRead = true),
      write: (bytes: Buffer, _encoding, written) => this.#onWrite(bytes, written),
      writev: (chunks, written) =>
        this.#onWrite(joiner.join(chunks.map(({ chunk }) => chunk as Buffer)), written),
      // Node ends the socket of a session that is over if the client was leaving, and waits for the client's
      // end.
      final: (done) => {
        done()
        this.#later(() => this.duplex.destroy())
      },
      destroy: (error, done) => {
        this.#onDestroyed()
        done(error)
      },
    })
    this.duplex.on('error', ignore)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  #onWrite(bytes: Buffer, written: Callback): void {
    if (this.#isDone) return written()
    this.#written = written
    if (this.#isPaused) this.#waiting = joiner.owns(bytes) ? Buffer.from(bytes) : bytes
    else this.#give(bytes)
  }

  #give(bytes: Buffer): void {
    const mayGoOn = this.owner.onBytes(this, bytes, bytes.length)
    if (!joiner.owns(bytes)) freeBuffer(bytes)
    if (!mayGoOn) this.#isPaused = true
    else if (!this.#isPaused) this.#release()
  }

  #release(): void {
    const written = this.#written
    this.#written = null
    written?.()
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (this.#isDone) return
    // Node copies the bytes, if it takes them here and now.
    const isNow = this.#isRead && this.duplex.readableFlowing === true && this.duplex.readableLength === 0
    this.duplex.push(isNow ? bytes.subarray(start, end) : Buffer.from(bytes.subarray(start, end)))
  }

  pause(): void {
    this.#isPaused = true
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    const waiting = this.#waiting
    this.#waiting = null
    if (waiting !== null) this.#give(waiting)
    else this.#release()
  }

  measure(): void {}

  look(): LookedAt {
    return UNKNOWN
  }

  cork(): void {}
  uncork(): void {}
  keepAlive(): void {}
  end(): void {}

  conclude(): void {
    this.close()
  }

  /** Node may be in the middle of a write or a read, and does not expect its socket to be destroyed there. */
  close(): void {
    this.#isDone = true
    this.#release()
    this.#later(() => this.duplex.destroy())
  }

  #onDestroyed(): void {
    this.#isClosed = this.#isDone = true
    this.#waiting = null
    this.#release()
    this.duplex.once('close', () => this.owner.onClosed(this, null))
  }
}

/** Node's writes are joined here: their target copies them before it returns. */
const joiner = new Joiner()

function ignore(): void {}
