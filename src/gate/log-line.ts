// The log lines of a thread on their way to the thread that writes them: the lines of one turn go in one
// message. The bytes on the way are bounded; beyond the bound lines are dropped, and counted.

import type { Clock } from '../core/clock.ts'
import type { Pulse } from '../core/pulse.ts'

/** As much as the queue of the writer holds. */
const MAX_BYTES = 1024 * 1024

export interface SentLines {
  lines: string[]
  bytes: number
  /** Lines dropped after `lines`. */
  dropped: number
}

export interface LogLineParts {
  clock: Clock
  pulse: Pulse
  send: (sent: SentLines) => void
}

export class LogLine {
  readonly #parts: LogLineParts
  #next: SentLines = { lines: [], bytes: 0, dropped: 0 }
  #isArmed = false

  constructor(parts: LogLineParts) {
    this.#parts = parts
  }

  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    const isFull = this.#next.dropped > 0 || this.#parts.pulse.unheard + this.#next.bytes + bytes > MAX_BYTES
    if (isFull) this.#next.dropped++
    else {
      this.#next.lines.push(line)
      this.#next.bytes += bytes
    }
    if (this.#isArmed) return
    this.#isArmed = true
    this.#parts.clock.nextTurn(() => this.flush())
  }

  flush(): void {
    this.#isArmed = false
    const sent = this.#next
    if (sent.lines.length === 0 && sent.dropped === 0) return
    this.#next = { lines: [], bytes: 0, dropped: 0 }
    this.#parts.pulse.say(sent.bytes)
    this.#parts.send(sent)
  }
}
