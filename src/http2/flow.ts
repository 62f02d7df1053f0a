// The windows of a client (RFC 9113 section 5.2), as the passing frames show them: how much the client would
// take of a stream, and of its connection. They show the cause of a wait: the stream, whose window is shut,
// or the connection, which holds up all streams.

import { Roll } from '../core/roll.ts'
import type { Frame } from './frame-scanner.ts'
import { DATA, END_STREAM, HEADERS, WINDOW_UPDATE } from './frame-scanner.ts'

const INITIAL = 65_535
const FRAME_HEAD = 9

/** The window of a stream. */
export interface Flowing {
  /** Bytes of the stream that the client would take; 0 or less while this class does not know the stream. */
  window: number
  readonly openedAt: number
  /** Its answer has begun. */
  readonly isAnswered: boolean
  /** So many of its bytes went into DATA frames. */
  onFramed(bytes: number): void
  /** END_STREAM is in a frame of it. */
  onEnded(): void
}

export class ClientFlow {
  readonly #streams = new Roll<Flowing>()
  /** Increments for streams that are not served yet: they came in the same read as their HEADERS. */
  readonly #early = new Map<number, number>()
  #initial = INITIAL
  #connection = INITIAL
  /** Bytes of frames sent, and their number up to the end of the last DATA. */
  sent = 0
  dataAt = 0

  /** The client takes nothing more on the connection. */
  get isShut(): boolean {
    return this.#connection <= 0
  }

  /**
   * Bytes that the client would take of a stream, or of its connection (0). A stream that this class does not
   * know has what its client gave it in this read: it has sent nothing yet, or nothing more.
   */
  windowOf(id: number): number {
    if (id === 0) return this.#connection
    return this.#streams.get(id)?.window ?? this.#initial + (this.#early.get(id) ?? 0)
  }

  /** An open stream. */
  streamOf(id: number): Readonly<Pick<Flowing, 'openedAt' | 'isAnswered'>> | undefined {
    return this.#streams.get(id)
  }

  open(id: number, stream: Flowing): void {
    stream.window = this.windowOf(id)
    this.#streams.add(id, stream)
  }

  close(id: number, stream: Flowing): void {
    this.#streams.delete(id, stream)
    stream.window = 0
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE applies to open streams as well (section 6.9.2). */
  setInitial(bytes: number): void {
    const more = bytes - this.#initial
    this.#initial = bytes
    if (more !== 0) for (const stream of this.#streams) stream.window += more
  }

  onFrame({ type, stream, word }: Frame): void {
    if (type !== WINDOW_UPDATE) return
    const bytes = word & 0x7fff_ffff
    if (stream === 0) {
      this.#connection += bytes
      return
    }
    const known = this.#streams.get(stream)
    if (known !== undefined) known.window += bytes
    else this.#early.set(stream, (this.#early.get(stream) ?? 0) + bytes)
  }

  /** All frames of a read have been processed. */
  forgetEarly(): void {
    if (this.#early.size > 0) this.#early.clear()
  }

  onFrameOut({ type, flags, stream, length }: Frame): void {
    this.sent += FRAME_HEAD + length
    if (type !== DATA && type !== HEADERS) return
    const known = this.#streams.get(stream)
    if (type === DATA && length > 0) this.#onDataOut(known, length)
    if ((flags & END_STREAM) !== 0) known?.onEnded()
  }

  #onDataOut(stream: Flowing | undefined, length: number): void {
    this.dataAt = this.sent
    this.#connection -= length
    if (stream === undefined) return
    stream.window -= length
    stream.onFramed(length)
  }
}
