// A dial: opens a connection to an upstream and gives a connected socket or endpoint, or a Close. It never
// pairs.
//
//     TCP --> PROXY header, if any --> TLS, if any --> dialled        all of it within `connectMs`

import net from 'node:net'
import type tls from 'node:tls'
import { joinPort } from '../core/address.ts'
import { closeFromDialError, makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Clock, Sweep } from '../core/clock.ts'
import { dialledEndpoint, dialOptions } from '../endpoint/socket-endpoint.ts'
import type { ReadOptions, SocketEndpoint } from '../endpoint/socket-endpoint.ts'
import type { EndpointOwner } from '../endpoint/endpoint.ts'
import { setRaw } from '../endpoint/raw-socket.ts'
import { nodeTls } from '../core/late.ts'

/** `lookup` is for a host that is a name. */
export type Target = { host: string; port: number; lookup?: net.LookupFunction } | { path: string }

export interface DialOptions {
  target: Target
  /** The name that the address was resolved from; null for an address from the configuration. */
  from: string | null
  /** How an endpoint reads the socket; null leaves it a plain stream, as `node:http2` and probes read it. */
  read: ReadOptions | null
  /** Milliseconds for name resolution, TCP and TLS together. */
  connectMs: number
  noDelay: boolean
  /** Null: in the clear. */
  secure: SecureOptions | null
  /** The protocol that the client chose by ALPN; the dial offers it instead of those of `secure`. */
  chosen?: string | null
}

export interface EndpointDialOptions extends DialOptions {
  read: ReadOptions
}

/** TLS to an upstream. The dial always verifies the certificate. */
export interface SecureOptions {
  /** The name that the certificate must have, sent as SNI unless it is an address; null: the dialled name. */
  serverName: string | null
  /** The trusted authorities and our own certificate; replaced when their files change. */
  context: tls.SecureContext
  /** Null offers none. */
  protocols: string[] | null
}

export interface DialContext {
  clock: Clock
  sweep: Sweep
}

/** Gets one call of either method, unless the dial was cancelled. */
export interface SocketDialler {
  /** The dialler owns the socket; nothing has been read from it. `dialMs` is how long the dial took. */
  onSocket(socket: net.Socket, dialMs: number): void
  onDialFailed(close: Close): void
}

/** A SocketDialler for an endpoint. */
export interface Dialler extends EndpointOwner {
  /** The dialler owns the endpoint, which reads at once. */
  onDialled(endpoint: SocketEndpoint, dialMs: number): void
  onDialFailed(close: Close): void
}

/** A dial in progress. */
export class Dial {
  readonly #options: DialOptions
  readonly #context: DialContext
  readonly #dialler: SocketDialler
  readonly #socket: net.Socket
  readonly #startedAt: number
  readonly #onError = (error: NodeJS.ErrnoException): void => this.#fail(closeFromDialError(error))
  #isOver = false

  /** `head`, a PROXY header, is sent before everything else, in the clear. */
  constructor(
    options: DialOptions,
    context: DialContext,
    dialler: SocketDialler,
    head: Buffer | null = null,
  ) {
    this.#options = options
    this.#context = context
    this.#dialler = dialler
    this.#startedAt = context.clock.now()
    const { target, read, noDelay, secure } = options
    this.#socket = net.connect({
      ...target,
      ...(read === null ? {} : dialOptions(read, secure !== null)),
      allowHalfOpen: true,
      noDelay,
    })
    this.#socket.once('connect', () => {
      if (head !== null && !this.#isOver) this.#socket.write(head)
      if (secure === null) this.#onConnect(this.#socket)
      else if (!this.#isOver) this.#secure(secure)
    })
    // This listener stays: the socket under TLS may fail later, and emits its error here as well.
    this.#socket.on('error', this.#onError)
    context.sweep.add(this)
  }

  /** Milliseconds of the Clock. */
  get expiresAt(): number {
    return this.#startedAt + this.#options.connectMs
  }

  /** Gives up, and reports nothing. */
  cancel(): void {
    if (!this.#end()) return
    this.#socket.destroy()
  }

  sweep(now: number): void {
    if (now - this.#startedAt < this.#options.connectMs) return
    this.#fail(makeClose('connect_timeout', 'upstream', 'connect', 'deadlines.connect'))
  }

  #secure({ serverName, context, protocols }: SecureOptions): void {
    const { target, from, chosen = null } = this.#options
    const offered = chosen === null ? protocols : [chosen]
    const name = serverName ?? from ?? ('host' in target ? target.host : 'localhost')
    const socket = nodeTls().connect({
      socket: this.#socket,
      host: name,
      servername: net.isIP(name) === 0 ? name : '',
      // Set explicitly, because an environment variable of Node's (NODE_TLS_REJECT_UNAUTHORIZED) turns it off
      // otherwise.
      rejectUnauthorized: true,
      secureContext: context,
      ...(offered === null ? {} : { ALPNProtocols: offered }),
    })
    setRaw(socket, this.#socket)
    socket.once('secureConnect', () => this.#onConnect(socket))
    socket.on('error', this.#onError)
  }

  #onConnect(socket: net.Socket): void {
    if (!this.#end()) return
    // Not `removeAllListeners`, which turns the socket's listeners into a slow map.
    socket.off('error', this.#onError)
    this.#dialler.onSocket(socket, this.#context.clock.now() - this.#startedAt)
  }

  #fail(close: Close): void {
    if (!this.#end()) return
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

/** A dial whose socket becomes an endpoint. */
export function dialEndpoint(
  options: EndpointDialOptions,
  context: DialContext,
  dialler: Dialler,
  head: Buffer | null,
): Dial {
  return new Dial(
    options,
    context,
    {
      onSocket: (socket, dialMs) => dialler.onDialled(dialledEndpoint(socket, options.read, dialler), dialMs),
      onDialFailed: (close) => dialler.onDialFailed(close),
    },
    head,
  )
}

/** The Host of a target, as a client of the service itself would write it. */
export function hostOf(target: Target): string {
  return 'path' in target ? 'localhost' : formatTarget(target)
}

export function formatTarget(target: Target): string {
  if ('path' in target) return `unix:${target.path}`
  return joinPort(target.host, target.port)
}
