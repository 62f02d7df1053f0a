// The queue of whole messages for a slow consumer: first in, first out, with a policy for what gives way when
// they are too many.
//
// The bound is on memory: each message counts with its bytes and the cost of keeping it, so that a million
// empty messages are no way around it. A message always fits an empty queue, so one that is larger than the
// bound is not lost for that alone; the bound is then that message. Messages are dropped whole, and the rest
// keep their order.

/** wait: the sender is held back. close: an overflow ends the connection. The others drop messages. */
export const slowConsumerPolicies = ['wait', 'close', 'dropOldest', 'dropNewest'] as const
export type SlowConsumerPolicy = (typeof slowConsumerPolicies)[number]

/** The cost of a Buffer of its own and its place here (Node 26, measured with a million of them). */
export const KEEPING_BYTES = 256

export interface Waiting {
  /** The message's opcode; 0 for a complete frame (a Close), which is never dropped. */
  readonly opcode: number
  readonly isCompressed: boolean
  readonly payload: Buffer
}

export class MessageQueue {
  readonly #policy: SlowConsumerPolicy
  readonly #maxBytes: number
  readonly #waiting: Waiting[] = []
  #bytes = 0

  constructor(policy: SlowConsumerPolicy, maxBytes: number) {
    this.#policy = policy
    this.#maxBytes = policy === 'wait' ? Number.POSITIVE_INFINITY : maxBytes
  }

  get length(): number {
    return this.#waiting.length
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Adds `next` last. Returns how many messages gave way, perhaps `next` too; `overflow`: not added. */
  push(next: Waiting): number | 'overflow' {
    if (next.opcode === 0 || this.#hasRoom(next)) {
      this.#add(next)
      return 0
    }
    if (this.#policy === 'close') return 'overflow'
    if (this.#policy === 'dropNewest') return 1
    let dropped = 0
    while (this.#waiting.length > 0 && this.#waiting[0]!.opcode !== 0 && !this.#hasRoom(next)) {
      this.shift()
      dropped++
    }
    this.#add(next)
    return dropped
  }

  shift(): Waiting | undefined {
    const first = this.#waiting.shift()
    if (first !== undefined) this.#bytes -= first.payload.length
    return first
  }

  clear(): void {
    this.#waiting.length = 0
    this.#bytes = 0
  }

  #add(next: Waiting): void {
    this.#waiting.push(next)
    this.#bytes += next.payload.length
  }

  #hasRoom(next: Waiting): boolean {
    if (this.#waiting.length === 0) return true
    return this.#bytes + next.payload.length + (this.#waiting.length + 1) * KEEPING_BYTES <= this.#maxBytes
  }
}
