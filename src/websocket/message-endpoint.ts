// A side of a WebSocket in message mode, as an Endpoint over its socket: accepted frames of the other side
// are written here, assembled into whole messages, and sent on as new frames. So the pair, its deadlines and
// its ends are the same as for a socket.
//
//     accepted frames --write()--> Assembler --> MessageSender --> socket
//
// A message goes on whole or not at all, so a frame of ours may stand anywhere (`inject`).

import type { Manner, PeerSide } from '../core/close.ts'
import type { Flow } from '../core/connection.ts'
import type { Carrier, Endpoint, EndpointOwner, LookedAt } from '../endpoint/endpoint.ts'
import { Assembler } from './assembler.ts'
import { MessageSender } from './message-sender.ts'
import type { MessageEvents, MessageSenderOptions } from './message-sender.ts'
import type { SlowConsumerPolicy } from './message-queue.ts'
import type { Violation } from './violation.ts'

/** The decisions that an endpoint leaves to its owner. */
export interface MessageListener {
  onViolation(violation: Violation, sink: PeerSide): void
  onOverflow(sink: PeerSide): void
  onDropped(policy: SlowConsumerPolicy, messages: number): void
}

export class MessageEndpoint implements Endpoint, EndpointOwner, MessageEvents {
  readonly side: PeerSide
  owner: EndpointOwner
  readonly #socket: Endpoint
  readonly #flow: Flow
  readonly #listener: MessageListener
  readonly #assembler: Assembler
  readonly #sender: MessageSender
  /** The end that follows once the queue is empty. */
  #ending: 'end' | 'flush' | 'deliver' | null = null

  /** Takes over `socket`; `flow` is the direction to it. */
  constructor(socket: Endpoint, flow: Flow, options: MessageSenderOptions, listener: MessageListener) {
    this.side = socket.side
    this.owner = socket.owner
    this.#socket = socket
    this.#flow = flow
    this.#listener = listener
    this.#assembler = new Assembler(socket.side === 'upstream')
    this.#sender = new MessageSender(socket, flow, options, this)
    socket.owner = this
  }

  get queued(): number {
    return this.#socket.queued + this.#sender.bytes
  }

  get unacked(): number {
    const { queued, unacked } = this.#socket
    return queued > 0 && unacked === 0 ? 0 : unacked + this.#sender.bytes
  }

  get carrier(): Carrier | undefined {
    return this.#socket.carrier
  }

  get sentTo(): number | undefined {
    return this.#socket.sentTo
  }

  get assembling(): number {
    return this.#assembler.length
  }

  get keeping(): number {
    return this.#sender.keeping
  }

  get isClosed(): boolean {
    return this.#socket.isClosed
  }

  get measurements(): number {
    return this.#socket.measurements
  }

  measure(): void {
    this.#socket.measure()
  }

  checkPeer(): void {
    this.#socket.checkPeer?.()
  }

  look(): LookedAt {
    return this.#socket.look()
  }

  /** Takes frames of the other side that the scanner has accepted. */
  write(bytes: Buffer, start: number, end: number): void {
    // Takes back what the half counted as sent: the new frames count, once they are sent.
    this.#flow.sent -= end - start
    if (this.#sender.hasFailed || this.#socket.isClosed) return
    this.#sender.enter()
    this.#assembler.take(bytes, start, end, this.#sender)
    this.#leave()
  }

  inject(frame: Buffer): void {
    if (this.#socket.isClosed) return
    this.#sender.enter()
    this.#sender.sendControl(frame[0]! & 0x0f, frame)
    this.#leave()
  }

  cork(): void {
    this.#socket.cork()
  }

  uncork(): void {
    this.#socket.uncork()
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  keepAlive(ms: number): void {
    this.#socket.keepAlive(ms)
  }

  conclude(): void {
    this.end()
  }

  end(): void {
    if (this.#sender.isEmpty) this.#socket.end()
    else this.#ending ??= 'end'
  }

  close(manner: Manner): void {
    if ((manner === 'flush' || manner === 'deliver') && !this.#sender.isEmpty) {
      this.#ending = manner
      this.#socket.resume()
      return
    }
    this.#giveUp()
    this.#socket.close(manner)
  }

  onBytes(_socket: Endpoint, bytes: Buffer, length: number): boolean {
    return this.owner.onBytes(this, bytes, length)
  }

  onEnd(): void {
    this.owner.onEnd(this)
  }

  onProgress(): void {
    this.#sender.enter()
    this.#sender.pump()
    this.#leave()
    this.owner.onProgress(this)
  }

  onClosed(_socket: Endpoint, error: NodeJS.ErrnoException | null): void {
    this.#giveUp()
    this.owner.onClosed(this, error)
  }

  onViolation(violation: Violation): void {
    this.#listener.onViolation(violation, this.side)
  }

  onOverflow(): void {
    this.#listener.onOverflow(this.side)
  }

  onDropped(policy: SlowConsumerPolicy, messages: number): void {
    this.#listener.onDropped(policy, messages)
  }

  onWorked(): void {
    this.#endIfEmpty()
    this.owner.onProgress(this)
  }

  #leave(): void {
    this.#sender.leave()
    this.#endIfEmpty()
  }

  #endIfEmpty(): void {
    if (this.#ending === null || !this.#sender.isEmpty) return
    const ending = this.#ending
    this.#ending = null
    if (ending === 'end') this.#socket.end()
    else this.#socket.close(ending)
  }

  #giveUp(): void {
    this.#ending = null
    this.#sender.giveUp()
  }
}
