// A connection of ours to a surveyed service: it collects the received bytes, within a bound, and every wait
// on it has an end.

import { connect } from 'node:net'
import type { Socket } from 'node:net'
import { systemClock } from '../../core/clock.ts'
import { formatAddress } from '../../config/address.ts'
import type { Address } from '../../config/address.ts'

const CONNECT_MS = 5000
/** Bytes kept of the service's output; the rest is thrown away. */
const MAX_BYTES = 256 * 1024

export type End = 'FIN' | 'RST'

export class Wire {
  readonly socket: Socket
  readonly connectMs: number
  #pieces: Buffer[] = []
  #length = 0
  #end: { how: End; at: number } | null = null
  #onChange: () => void = () => {}

  constructor(socket: Socket, connectMs: number) {
    this.socket = socket
    this.connectMs = connectMs
    socket.on('data', (piece: Buffer) => this.#onData(piece))
    socket.on('end', () => this.#onEnd('FIN'))
    socket.on('error', () => this.#onEnd('RST'))
    socket.on('close', () => this.#onEnd('FIN'))
  }

  #onData(piece: Buffer): void {
    if (this.#length < MAX_BYTES) this.#pieces.push(piece)
    this.#length += piece.length
    this.#onChange()
  }

  #onEnd(how: End): void {
    this.#end ??= { how, at: systemClock.now() }
    this.#onChange()
  }

  /** The bytes so far, each as one character. */
  get text(): string {
    return Buffer.concat(this.#pieces).toString('latin1')
  }

  get end(): { how: End; at: number } | null {
    return this.#end
  }

  /** True once `test` holds, false after `ms`. */
  until(test: () => boolean, ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (is: boolean): void => {
        cancel()
        this.#onChange = () => {}
        resolve(is)
      }
      const cancel = systemClock.after(ms, () => settle(false))
      this.#onChange = () => void (test() && settle(true))
      this.#onChange()
    })
  }

  close(): void {
    this.socket.destroy()
  }
}

/** Resolves with an open connection, or with the reason why there is none. */
export function dial(address: Address): Promise<Wire | string> {
  const startedAt = systemClock.now()
  const target =
    address.kind === 'unix'
      ? { path: address.path }
      : { host: address.host ?? '127.0.0.1', port: address.port }
  return new Promise((resolve) => {
    const socket = connect({ ...target, allowHalfOpen: true })
    const cancel = systemClock.after(CONNECT_MS, () => fail(`does not accept within ${CONNECT_MS / 1000}s`))
    const fail = (why: string): void => {
      cancel()
      socket.destroy()
      resolve(`${formatAddress(address)} ${why}`)
    }
    const onError = (error: NodeJS.ErrnoException): void =>
      fail(`cannot be reached: ${error.code ?? error.message}`)
    socket.once('error', onError)
    socket.once('connect', () => {
      cancel()
      socket.off('error', onError)
      resolve(new Wire(socket, systemClock.now() - startedAt))
    })
  })
}
