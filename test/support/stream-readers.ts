// Readers of a transport's bytes, which keep none: they pass the payload to a verifier, and notice the orderly end of the stream, as
// the transport expresses it. They share no code with the code under test.

import type { Verifier } from './bytes.ts'
import { FrameReader } from './frames.ts'
import { parseHead } from './http.ts'
import type { Head } from './http.ts'

export interface StreamReader {
  write(chunk: Buffer): void
  /** The stream has announced its end: a Close frame, a last chunk. The wire knows of FIN. */
  readonly isWhole: boolean
  /** The code of the received Close frame; null without one, or where there are no such frames. */
  readonly closeCode: number | null
}

/** Opaque bytes. */
export class ByteReader implements StreamReader {
  readonly isWhole = false
  readonly closeCode = null
  readonly #into: Verifier

  constructor(into: Verifier) {
    this.#into = into
  }

  write(chunk: Buffer): void {
    this.#into.write(chunk)
  }
}

/** WebSocket frames: the payload of data frames; `pong` answers pings. */
export class MessageReader implements StreamReader {
  isWhole = false
  closeCode: number | null = null
  readonly #into: Verifier
  readonly #pong: (payload: Buffer) => void
  readonly #frames = new FrameReader()

  constructor(into: Verifier, pong: (payload: Buffer) => void) {
    this.#into = into
    this.#pong = pong
  }

  write(chunk: Buffer): void {
    for (const frame of this.#frames.push(chunk)) {
      if (frame.opcode === 'ping') this.#pong(frame.payload)
      else if (frame.opcode === 'close') {
        this.closeCode = frame.code ?? null
        this.isWhole = true
      } else if (frame.opcode !== 'pong') this.#into.write(frame.payload)
    }
  }
}

/** A body in chunks, strictly: sizes in hex, no extensions, no trailers. */
export class ChunkReader implements StreamReader {
  isWhole = false
  readonly closeCode = null
  /** Bytes after the last chunk, or that are no chunk: there must be none. */
  problem: string | null = null
  readonly #into: Verifier
  #rest: Buffer = Buffer.alloc(0)
  /** Of the chunk in hand: bytes to come, with the CRLF after it; 0 between chunks. */
  #left = 0

  constructor(into: Verifier) {
    this.#into = into
  }

  write(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (this.problem === null && this.#step()) continue
  }

  #step(): boolean {
    if (this.#left > 2) return this.#takeData()
    if (this.#left > 0) return this.#takeEnd()
    const end = this.#rest.indexOf('\r\n')
    if (end < 0) return false
    const line = this.#rest.toString('latin1', 0, end)
    if (this.isWhole ? line !== '' : !/^[0-9a-fA-F]+$/.test(line)) return this.#fail(line)
    this.#rest = this.#rest.subarray(end + 2)
    if (this.isWhole) return this.#rest.length > 0 ? this.#fail(this.#rest.toString('latin1')) : false
    const size = Number.parseInt(line, 16)
    if (size === 0) this.isWhole = true
    else this.#left = size + 2
    return true
  }

  #takeData(): boolean {
    const bytes = this.#rest.subarray(0, this.#left - 2)
    if (bytes.length === 0) return false
    this.#into.write(bytes)
    this.#left -= bytes.length
    this.#rest = this.#rest.subarray(bytes.length)
    return true
  }

  #takeEnd(): boolean {
    if (this.#rest.length < 2) return false
    if (this.#rest[0] !== 13 || this.#rest[1] !== 10) return this.#fail('no CRLF after a chunk')
    this.#rest = this.#rest.subarray(2)
    this.#left = 0
    return true
  }

  #fail(text: string): false {
    this.problem = text.slice(0, 100)
    return false
  }
}

/** Reads a head first, then lets `next` choose the reader of the rest. */
export class HeadThen implements StreamReader {
  head: Head | null = null
  readonly #next: (head: Head) => StreamReader
  #reader: StreamReader | null = null
  #begun: Buffer = Buffer.alloc(0)

  constructor(next: (head: Head) => StreamReader) {
    this.#next = next
  }

  get isWhole(): boolean {
    return this.#reader?.isWhole ?? false
  }

  get closeCode(): number | null {
    return this.#reader?.closeCode ?? null
  }

  write(chunk: Buffer): void {
    if (this.#reader !== null) return this.#reader.write(chunk)
    this.#begun = Buffer.concat([this.#begun, chunk])
    const head = parseHead(this.#begun)
    if (head === null) return
    this.head = head
    this.#reader = this.#next(head)
    const rest = this.#begun.subarray(head.length)
    if (rest.length > 0) this.#reader.write(rest)
  }
}
