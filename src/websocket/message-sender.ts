// The sender of whole messages to one side, as new frames; it holds those that have to wait.
//
//     onMessage() --> MessageQueue --> (inflate | deflate) --> new frames --> socket
//              \------ nothing waits, nothing to do: at once ------/
//
// Messages keep their order, and are sent whole or not at all. Frames go to the socket only while it has
// room: messages in the queue can still give way (`slowConsumer`), bytes in the socket cannot.

import { isUtf8 } from 'node:buffer'
import type { Flow } from '../core/connection.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import type { MessageTaker } from './assembler.ts'
import { Deflate } from './deflate.ts'
import type { InflateError } from './deflate.ts'
import { controlFrame, dataHead, head } from './frame.ts'
import { CLOSE } from './frame-scanner.ts'
import { KEEPING_BYTES, MessageQueue } from './message-queue.ts'
import type { SlowConsumerPolicy, Waiting } from './message-queue.ts'
import { applyMask } from './mask.ts'
import type { Violation } from './violation.ts'

export interface MessageSenderOptions {
  /** The policy for messages that the peer is too slow to take. */
  policy: SlowConsumerPolicy
  /** The most bytes of waiting messages; with `wait`, `highBytes` and backpressure bound them instead. */
  queueBytes: number
  highBytes: number
  maxMessageBytes: number
  /** The compression negotiated with the client. */
  deflate: Deflate | null
}

/** The sender's reports to its owner. */
export interface MessageEvents {
  /** The other side's bytes are no valid message; the sender takes nothing more. */
  onViolation(violation: Violation): void
  onOverflow(): void
  onDropped(policy: SlowConsumerPolicy, messages: number): void
  /** A job is done: there is room again. Never called from within a method of the sender. */
  onWorked(): void
}

const TEXT = 1
const BINARY = 2
/** The most that goes to the socket at once when it is empty: one system call for many small messages. */
const BATCH_BYTES = 64 * 1024
/**
 * The most pings and pongs that wait for a peer that takes nothing; beyond it the oldest are dropped (RFC
 * 6455 section 5.5.3).
 */
const MAX_URGENT = 16

export class MessageSender implements MessageTaker {
  readonly #socket: Endpoint
  readonly #flow: Flow
  readonly #deflate: Deflate | null
  readonly #options: MessageSenderOptions
  readonly #events: MessageEvents
  readonly #queue: MessageQueue
  /** Waiting pings and pongs, ahead of the messages. */
  #urgent: Buffer[] | null = null
  /** The message being inflated or deflated. */
  #working: Waiting | null = null
  /** The bytes dropped when this side was given up. */
  #lostBytes = 0
  /** The socket may get bytes in this turn. */
  #isOpen = true
  /** Nothing more is taken from the other side. */
  hasFailed = false

  /** `flow` is the direction to `socket`. */
  constructor(socket: Endpoint, flow: Flow, options: MessageSenderOptions, events: MessageEvents) {
    this.#socket = socket
    this.#flow = flow
    this.#deflate = options.deflate
    this.#options = options
    this.#events = events
    this.#queue = new MessageQueue(options.policy, options.queueBytes)
  }

  /** Waiting bytes; all of them are counted in `flow.sent`. */
  get bytes(): number {
    let bytes = this.#queue.bytes + this.#lostBytes
    if (this.#working !== null) bytes += this.#working.payload.length
    if (this.#urgent !== null) for (const frame of this.#urgent) bytes += frame.length
    return bytes
  }

  /** The cost of its waiting messages beside their bytes. */
  get keeping(): number {
    return this.#queue.length * KEEPING_BYTES
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0 && this.#working === null && this.#urgent === null
  }

  /** Begins a turn of work: frames sent until `leave` go out together. */
  enter(): void {
    this.#isOpen = this.#options.policy === 'wait' || this.#socket.queued === 0
    this.#socket.cork()
  }

  /** Ends the turn. If something still waits, the socket reports once it has taken the last write. */
  leave(): void {
    this.#socket.uncork()
  }

  onMessage(isBinary: boolean, isCompressed: boolean, payload: Buffer, isLent: boolean): void {
    if (this.hasFailed) return
    const opcode = isBinary ? BINARY : TEXT
    if (!isCompressed && !isBinary && !isUtf8(payload)) return this.#fail(notUtf8)
    if (this.#hasRoom && this.#queue.length === 0 && !this.#needsWork(opcode, isCompressed, payload))
      return this.#send(opcode, payload, false)
    this.#keep({ opcode, isCompressed, payload: isLent ? copyOf(payload) : payload })
  }

  onControl(opcode: number, payload: Buffer): void {
    this.sendControl(opcode, controlFrame(opcode, payload, this.#isMasked))
  }

  /** A Close goes after the waiting messages, anything else ahead of them. */
  sendControl(opcode: number, frame: Buffer): void {
    if (opcode !== CLOSE) return this.#sendUrgent(frame)
    if (this.#queue.length === 0 && this.#working === null) this.#sendFrame(frame)
    else this.#keep({ opcode: 0, isCompressed: false, payload: frame })
  }

  /** Sends waiting frames and messages, as far as the socket has room. */
  pump(): void {
    if (this.#urgent !== null && this.#isOpen) this.#sendAllUrgent(this.#urgent)
    while (this.#hasRoom) {
      const next = this.#queue.shift()
      if (next === undefined) return
      if (this.#needsWork(next.opcode, next.isCompressed, next.payload)) return this.#work(next)
      this.#flow.sent -= next.payload.length
      if (next.opcode === 0) this.#sendFrame(next.payload)
      else this.#send(next.opcode, next.payload, false)
    }
  }

  /** Drops the waiting messages; their bytes stay counted as dropped. */
  giveUp(): void {
    this.#lostBytes = this.bytes
    this.#queue.clear()
    this.#urgent = null
    this.#working = null
    this.hasFailed = true
  }

  /** A server's frames are not masked, a client's are. */
  get #isMasked(): boolean {
    return this.#socket.side === 'upstream'
  }

  /** With a policy that drops, messages that may give way wait here until the socket has taken its write. */
  get #hasRoom(): boolean {
    const { policy, highBytes } = this.#options
    return (
      this.#isOpen &&
      this.#working === null &&
      this.#socket.queued <= (policy === 'wait' ? highBytes : BATCH_BYTES)
    )
  }

  #needsWork(opcode: number, isCompressed: boolean, payload: Buffer): boolean {
    if (isCompressed) return true
    return opcode !== 0 && this.#deflate !== null && !this.#isMasked && Deflate.isWorth(payload)
  }

  #keep(message: Waiting): void {
    const before = this.#queue.bytes
    const result = this.#queue.push(message)
    this.#flow.sent += this.#queue.bytes - before
    if (result === 'overflow') return this.#overflow()
    if (result > 0) this.#events.onDropped(this.#options.policy, result)
    this.pump()
  }

  /** Frees the memory at once; the peer may still take what the socket holds, and then the Close. */
  #overflow(): void {
    this.hasFailed = true
    this.#clearQueue()
    this.#events.onOverflow()
  }

  #clearQueue(): void {
    this.#flow.sent -= this.#queue.bytes
    this.#queue.clear()
  }

  #work(message: Waiting): void {
    this.#working = message
    if (message.isCompressed)
      this.#deflate!.inflate(message.payload, (error, data) => this.#onInflated(message, error, data))
    else this.#deflate!.deflate(message.payload, (error, data) => this.#onDeflated(message, error, data))
  }

  #onInflated(message: Waiting, error: InflateError | null, data: Buffer): void {
    if (!this.#finishWork(message)) return
    const violation =
      error === null
        ? message.opcode === TEXT && !isUtf8(data)
          ? notUtf8
          : null
        : inflateViolation(error, this.#options.maxMessageBytes)
    if (violation === null) return this.#sendWorked(message.opcode, data, false)
    // The waiting messages came after the faulty one.
    this.#clearQueue()
    this.#fail(violation)
    this.#events.onWorked()
  }

  #onDeflated(message: Waiting, error: InflateError | null, data: Buffer): void {
    if (!this.#finishWork(message)) return
    if (error === null) this.#sendWorked(message.opcode, data, true)
    else this.#sendWorked(message.opcode, message.payload, false)
  }

  /** Returns false if nobody waits for the result any more. */
  #finishWork(message: Waiting): boolean {
    if (this.#working !== message) return false
    this.#working = null
    this.#flow.sent -= message.payload.length
    return true
  }

  #sendWorked(opcode: number, payload: Buffer, isCompressed: boolean): void {
    this.enter()
    this.#send(opcode, payload, isCompressed)
    this.pump()
    this.leave()
    this.#events.onWorked()
  }

  #fail(violation: Violation): void {
    this.hasFailed = true
    this.#events.onViolation(violation)
  }

  /** `payload` is ours to change. */
  #send(opcode: number, payload: Buffer, isCompressed: boolean): void {
    const size = dataHead(opcode, payload.length, isCompressed, this.#isMasked)
    if (this.#isMasked) applyMask(payload, 0, payload.length, head.readInt32LE(size - 4))
    this.#flow.sent += size
    this.#socket.write(head, 0, size)
    if (payload.length > 0) this.#sendFrame(payload)
  }

  #sendFrame(bytes: Buffer): void {
    this.#flow.sent += bytes.length
    this.#socket.write(bytes, 0, bytes.length)
  }

  #sendUrgent(frame: Buffer): void {
    if (this.#isOpen) return this.#sendFrame(frame)
    this.#urgent ??= []
    if (this.#urgent.length === MAX_URGENT) this.#flow.sent -= this.#urgent.shift()!.length
    this.#urgent.push(frame)
    this.#flow.sent += frame.length
  }

  #sendAllUrgent(frames: Buffer[]): void {
    this.#urgent = null
    for (const frame of frames) {
      this.#flow.sent -= frame.length
      this.#sendFrame(frame)
    }
  }
}

const notUtf8: Violation = { reason: 'protocol_error', code: 1007, detail: 'text that is not UTF-8' }

function inflateViolation(error: InflateError, maxMessageBytes: number): Violation {
  if (error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') {
    return {
      reason: 'message_too_big',
      code: 1009,
      detail: `message that inflates to more than ${maxMessageBytes} bytes (websocket.maxMessage)`,
    }
  }
  return { reason: 'protocol_error', code: 1007, detail: `compressed message: ${error.message}` }
}

/** Copies into memory of its own: a slice would keep the whole read alive. */
function copyOf(payload: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(payload.length)
  payload.copy(copy)
  return copy
}
