// Opens a connection to an upstream: a connected endpoint, or a Close. It never pairs.

import net from 'node:net'
import { closeFromDialError, makeClose } from '../close.ts'
import type { Close } from '../close.ts'
import type { Clock, Sweep } from '../clock.ts'
import { dialledEndpoint, dialOptions } from '../endpoint/socket-endpoint.ts'
import type { ReadOptions } from '../endpoint/socket-endpoint.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'

/** `lookup` is for a host that is a name. */
export type Target = { host: string; port: number; lookup?: net.LookupFunction } | { path: string }

export interface DialOptions {
  target: Target
  read: ReadOptions
  /** Milliseconds for name resolution and TCP together. */
  connectMs: number
  noDelay: boolean
}

export interface DialContext {
  clock: Clock
  sweep: Sweep
}

/** Gets one call of `onDialled` or `onDialFailed`, unless the dial was cancelled. */
export interface Dialler extends EndpointOwner {
  /** The caller owns the endpoint; it reads at once. `dialMs` is how long the connection took. */
  onDialled(endpoint: Endpoint, dialMs: number): void
  onDialFailed(close: Close): void
}

/** A dial in progress. */
export class Dial {
  readonly #options: DialOptions
  readonly #context: DialContext
  readonly #dialler: Dialler
  readonly #socket: net.Socket
  readonly #startedAt: number
  #isOver = false

  constructor(options: DialOptions, context: DialContext, dialler: Dialler) {
    this.#options = options
    this.#context = context
    this.#dialler = dialler
    this.#startedAt = context.clock.now()
    const { target, read, noDelay } = options
    this.#socket = net.connect({ ...target, ...dialOptions(read), allowHalfOpen: true, noDelay })
    this.#socket.once('connect', () => this.#onConnect())
    this.#socket.once('error', (error) => this.#fail(closeFromDialError(error)))
    context.sweep.add(this)
  }

  /** Milliseconds of the Clock. */
  get expiresAt(): number {
    return this.#startedAt + this.#options.connectMs
  }

  /** Gives up; nothing is reported. */
  cancel(): void {
    if (!this.#end()) return
    this.#socket.on('error', ignore)
    this.#socket.destroy()
  }

  sweep(now: number): void {
    if (now - this.#startedAt < this.#options.connectMs) return
    this.#fail(makeClose('connect_timeout', 'upstream', 'connect', 'deadlines.connect'))
  }

  #onConnect(): void {
    if (!this.#end()) return
    this.#socket.removeAllListeners('error')
    const dialMs = this.#context.clock.now() - this.#startedAt
    this.#dialler.onDialled(dialledEndpoint(this.#socket, this.#options.read, this.#dialler), dialMs)
  }

  #fail(close: Close): void {
    if (!this.#end()) return
    this.#socket.on('error', ignore)
    this.#socket.destroy()
    this.#dialler.onDialFailed(close)
  }

  /** True the first time. */
  #end(): boolean {
    if (this.#isOver) return false
    this.#isOver = true
    this.#context.sweep.delete(this)
    return true
  }
}

function ignore(): void {}

export function formatTarget(target: Target): string {
  if ('path' in target) return `unix:${target.path}`
  return target.host.includes(':') ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`
}
