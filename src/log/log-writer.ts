// The bounded queue between the parts that log and a destination that may be slow, stalled, full or gone.
//
//     write(line) --> [ queue: at most maxBytes, with the batch in flight ] --> destination, one batch at a time
//
// It never blocks, throws or ends the process. Lines that do not fit are dropped and counted, and the log
// itself shows the gap at its place: "N log lines dropped".

import type { Clock } from '../core/clock.ts'
import type { Destination } from './destination.ts'

/** Two hundred lines or so: few system calls, and a failed batch loses little. */
const BATCH_BYTES = 64 * 1024
/** The pause after a failure: a full disk must not cost a system call for each line. */
const RETRY_MS = 250

export interface LogWriterOptions {
  destination: Destination
  clock: Clock
  /** Makes the line that reports dropped ones, with its line feed. */
  formatDropped: (count: number) => string
  maxBytes?: number
}

interface Entry {
  text: string
  bytes: number
  /** The number of dropped lines that this line reports; 0 for an ordinary line. */
  tells: number
}

export class LogWriter {
  readonly #destination: Destination
  readonly #clock: Clock
  readonly #formatDropped: (count: number) => string
  readonly #maxBytes: number
  #queue: Entry[] = []
  /** Null while the destination is idle. */
  #inFlight: Entry[] | null = null
  /** Bytes of the queue and the batch in flight. */
  #bytes = 0
  /** Lines that did not fit after the present queue; reported at its end once there is room. */
  #overflowed = 0
  /** Lines lost with failed batches; reported at the beginning of the next one. */
  #lost = 0
  #droppedTotal = 0
  #retryAt = 0
  #flushes = new Set<() => void>()

  constructor(options: LogWriterOptions) {
    this.#destination = options.destination
    this.#clock = options.clock
    this.#formatDropped = options.formatDropped
    this.#maxBytes = options.maxBytes ?? 1024 * 1024
  }

  /** Log lines dropped since the start, for any cause. */
  get dropped(): number {
    return this.#droppedTotal
  }

  get queuedBytes(): number {
    return this.#bytes
  }

  /** Takes one line with its line feed. */
  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    // After one dropped line all are dropped, until the gap is reported: otherwise short lines would slip in
    // after it.
    if (this.#overflowed > 0 || this.#bytes + bytes > this.#maxBytes) {
      this.#overflowed++
      this.#droppedTotal++
    } else {
      this.#enqueue({ text: line, bytes, tells: 0 })
    }
    this.#pump()
  }

  /** Counts lines that were dropped on their way here. */
  lose(lines: number): void {
    this.#overflowed += lines
    this.#droppedTotal += lines
    this.#pump()
  }

  /**
   * Resolves when everything is written or lost, or after `ms`: for the exit, which must not wait for a
   * stalled reader.
   */
  flush(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, () => settle())
      const settle = () => {
        cancel()
        this.#flushes.delete(settle)
        resolve()
      }
      this.#flushes.add(settle)
      this.#pump()
    })
  }

  #enqueue(entry: Entry): void {
    this.#queue.push(entry)
    this.#bytes += entry.bytes
  }

  #pump(): void {
    if (this.#inFlight !== null) return
    // A single line above the bound is dropped with no batch in flight whose end would report it.
    if (this.#queue.length === 0) this.#tellOverflow()
    if (this.#queue.length === 0) {
      for (const settle of this.#flushes) settle()
      return
    }
    if (this.#clock.now() < this.#retryAt && this.#flushes.size === 0) return
    const batch = this.#takeBatch()
    this.#inFlight = batch
    try {
      this.#destination.write(batch.map((entry) => entry.text).join(''), (error) =>
        this.#onWritten(batch, error),
      )
    } catch (error) {
      this.#onWritten(batch, error instanceof Error ? error : new Error(String(error)))
    }
  }

  #takeBatch(): Entry[] {
    if (this.#lost > 0) {
      // The line feed ends the remains of a batch that failed half-way.
      const line = this.#entryTelling(this.#lost, '\n')
      this.#queue.unshift(line)
      this.#bytes += line.bytes
      this.#lost = 0
    }
    let bytes = 0
    let count = 0
    for (const entry of this.#queue) {
      if (count > 0 && bytes + entry.bytes > BATCH_BYTES) break
      bytes += entry.bytes
      count++
    }
    return this.#queue.splice(0, count)
  }

  #entryTelling(count: number, before = ''): Entry {
    const text = before + this.#formatDropped(count)
    return { text, bytes: Buffer.byteLength(text), tells: count }
  }

  #onWritten(batch: Entry[], error: Error | null): void {
    // A destination that calls back twice must not free a batch that it never got.
    if (this.#inFlight !== batch) return
    this.#inFlight = null
    for (const entry of batch) this.#bytes -= entry.bytes
    if (error !== null) this.#onFailed(batch)
    this.#tellOverflow()
    this.#pump()
  }

  #tellOverflow(): void {
    if (this.#overflowed === 0) return
    this.#enqueue(this.#entryTelling(this.#overflowed))
    this.#overflowed = 0
  }

  #onFailed(batch: Entry[]): void {
    this.#retryAt = this.#clock.now() + RETRY_MS
    for (const entry of batch) {
      this.#lost += entry.tells > 0 ? entry.tells : 1
      if (entry.tells === 0) this.#droppedTotal++
    }
  }
}
