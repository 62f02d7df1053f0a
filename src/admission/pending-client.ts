// A connection that still waits at a gate: for a PROXY header, for what a fleet says of its limits or another
// connection of its client leaves to it, for a TLS handshake. All share one deadline, `deadlines.handshake`
// from the accept on; the protocol gets what is left of it. Made only where such a gate is configured, or a
// limit is in doubt.
//
//     header --whole, or none expected--> (unsure -->) judged by its address --> securing --handshake done--> admitted
//        any of these --refuse()--> refused
//
// Ownership: until it is admitted or refused, the socket belongs to the pending client; then it belongs to
// the owner that takes it.

import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { networkOf } from '../core/address.ts'
import type { Address, ClientAddress } from '../core/address.ts'
import type { ClientTls } from '../core/client-tls.ts'
import { closeFromError, makeClose, probeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import type { Admission, ObservedPlace } from '../core/connection.ts'
import type { Live } from '../core/live.ts'
import type { Clock, Sweep, Swept } from '../core/clock.ts'
import { bugDetail } from '../core/errors.ts'
import type { Endpoint, EndpointOwner } from '../endpoint/endpoint.ts'
import { resetSocket } from '../endpoint/reset.ts'
import { secureClientEndpoint } from '../endpoint/socket-endpoint.ts'
import type { ReadOptions, SocketEndpoint } from '../endpoint/socket-endpoint.ts'
import { describeTls } from './client-tls.ts'
import { ProxyHeaderReader } from './proxy-header.ts'
import type { ProxyVersions } from './proxy-header.ts'
import { noOwner } from './refusal.ts'
import type { Handshaker, TlsGate } from './tls-gate.ts'
import { NOTHING } from '../core/nothing.ts'

export interface ProxyRules {
  versions: ProxyVersions
  /**
   * Whether the peer at that address must send a header, which is then believed. To other peers the gate does
   * not apply.
   */
  isTrusted: (ip: string) => boolean
}

/** The gates that take time. */
export interface SlowGates {
  proxy: ProxyRules | null
  tls: TlsGate | null
  /** `handshakeMs` covers all of them together, and the request head after them. */
  deadlines: Live<{ handshakeMs: number }>
}

/** Whether one of them applies to every connection. */
export function takesTime({ proxy, tls }: SlowGates): boolean {
  return proxy !== null || tls !== null
}

export interface PendingClientContext {
  clock: Clock
  sweep: Sweep
  gates: SlowGates
  read: ReadOptions
  /** The facts of the client's TLS handshake are kept. */
  recordsTls: boolean
  /**
   * Called before `judge`. Not null where the judgement has to wait until `onKnown`: the returned function
   * leaves the wait.
   */
  whenKnown: (client: ClientAddress, onKnown: () => void) => (() => void) | null
  /** The gates of the client's final address. */
  judge: (pending: PendingClient) => Close | null
  /** The client has passed all gates: the callee takes the endpoint over. */
  onAdmitted: (pending: PendingClient, endpoint: SocketEndpoint) => void
  /** Ends the socket beneath a failed handshake with these last words. */
  part: (raw: Socket, farewell: () => void) => void
  /** The client is refused: the callee takes the endpoint over; null where it is gone, or cannot answer. */
  onRefused: (pending: PendingClient, close: Close, endpoint: SocketEndpoint | null) => void
}

const waits = {
  header: 'its PROXY header',
  unsure: 'its limits',
  securing: 'its TLS handshake',
  over: '',
}
type State = 'header' | 'unsure' | 'securing' | 'over'

export class PendingClient implements EndpointOwner, Handshaker, Swept {
  readonly acceptedAt: number
  /** The peer at first; the client that a PROXY header names, once it is read. */
  client: ClientAddress
  /** The address that the client connected to, by its PROXY header; null where no header names one. */
  local: Address | null = null
  /** The facts of its TLS handshake; null without TLS, or where nothing needs them. */
  tls: ClientTls | null = null
  /** It chose HTTP/2 by ALPN. */
  isHttp2 = false
  admission: Admission = 'placed'
  /** The gates of its address have let it on, and count it. */
  isJudged = false
  /** Not null where their limit only observes, and had no place for it at first. */
  observed: ObservedPlace | null = null
  readonly #endpoint: SocketEndpoint
  readonly #context: PendingClientContext
  #state: State = 'header'
  #reader: ProxyHeaderReader | null = null
  /** The socket beneath a handshake. */
  #raw: Socket | null = null
  /** Leaves the wait while it is unsure. */
  #leave: (() => void) | null = null
  #rest = NOTHING

  constructor(
    endpoint: SocketEndpoint,
    peer: ClientAddress,
    acceptedAt: number,
    context: PendingClientContext,
  ) {
    this.acceptedAt = acceptedAt
    this.client = peer
    this.#endpoint = endpoint
    this.#context = context
  }

  get clientKey(): string {
    return this.client.ip === null ? this.client.text : networkOf(this.client.ip)
  }

  /** Takes ownership of the endpoint. */
  start(): void {
    const {
      gates: { proxy },
      sweep,
    } = this.#context
    const { ip } = this.client
    // The file system decides which peers reach a unix socket: they are as trusted as the named proxies.
    if (proxy === null || (ip !== null && !proxy.isTrusted(ip))) return void this.#onAddress(NOTHING)
    this.#reader = new ProxyHeaderReader(proxy.versions)
    this.#endpoint.owner = this
    sweep.add(this)
    this.#endpoint.resume()
  }

  onBytes(_endpoint: Endpoint, bytes: Buffer, length: number): boolean {
    if (this.#state !== 'header') return true
    const read = this.#reader!.read(bytes, length)
    if (read === 'more') return true
    if ('problem' in read) {
      this.refuse(makeClose('protocol_error', 'client', 'admit', read.problem))
      return true
    }
    this.client = read.header.client ?? this.client
    this.local = read.header.local
    return this.#onAddress(bytes.subarray(read.taken, length))
  }

  /**
   * `rest` came after the header, and the next owner gets it first. Returns false to pause the endpoint that
   * it came from.
   */
  #onAddress(rest: Buffer): boolean {
    this.#leave = this.#context.whenKnown(this.client, () => this.#onKnown())
    if (this.#leave === null) return this.#onJudgement(rest)
    this.#state = 'unsure'
    this.#rest = Buffer.from(rest)
    this.#endpoint.owner = this
    this.#context.sweep.add(this)
    return false
  }

  #onKnown(): void {
    this.#leave = null
    // A new owner that serves the endpoint has resumed it. A handshake owns the socket, and is not over.
    if (!this.#onJudgement(this.#rest) && this.#state === 'over') this.#endpoint.pause()
  }

  #onJudgement(rest: Buffer): boolean {
    const close = this.#context.judge(this)
    if (close !== null) {
      this.refuse(close)
      return true
    }
    this.isJudged = true
    if (this.#context.gates.tls !== null) {
      this.#secure(this.#context.gates.tls, rest)
      return false
    }
    const endpoint = this.#endpoint
    this.#admit(endpoint)
    return rest.length === 0 || endpoint.owner.onBytes(endpoint, rest, rest.length)
  }

  #secure(gate: TlsGate, rest: Buffer): void {
    const { sweep, clock } = this.#context
    this.#state = 'securing'
    sweep.add(this)
    this.#raw = this.#endpoint.release()
    this.#raw.pause()
    if (rest.length > 0) this.#raw.unshift(Buffer.from(rest))
    gate.begin(this.#raw, this, clock.now())
  }

  onSecure(socket: TLSSocket): void {
    const raw = this.#raw!
    this.isHttp2 = socket.alpnProtocol === 'h2'
    if (this.#context.recordsTls) this.tls = describeTls(socket)
    this.#admit(secureClientEndpoint(socket, raw, this.#context.read, noOwner))
  }

  onHandshakeFailed(close: Close, farewell: (() => void) | null): void {
    this.refuse(close, farewell)
  }

  #admit(endpoint: SocketEndpoint): void {
    this.#end()
    this.#context.onAdmitted(this, endpoint)
  }

  /**
   * Ends it, from here or from outside; later calls are ignored. `farewell` sends the last words over the
   * socket beneath a handshake.
   */
  refuse(close: Close, farewell: (() => void) | null = null): void {
    if (this.#state === 'over') return
    const raw = this.#raw
    this.#end()
    if (raw !== null) {
      this.#context.gates.tls?.cancel(raw)
      raw.on('error', ignore)
      if (farewell === null) resetSocket(raw)
      else this.#context.part(raw, farewell)
    }
    this.#context.onRefused(this, close, raw === null && !this.#endpoint.isClosed ? this.#endpoint : null)
  }

  #end(): void {
    this.#state = 'over'
    this.#leave?.()
    this.#context.sweep.delete(this)
  }

  sweep(now: number): void {
    if (now - this.acceptedAt < this.#context.gates.deadlines.current.handshakeMs) return
    this.refuse(
      makeClose('handshake_timeout', 'client', 'admit', `${waits[this.#state]} (deadlines.handshake)`),
    )
  }

  onBroken(error: unknown): void {
    this.refuse(makeClose('internal_error', 'sidegate', 'admit', bugDetail(error)))
  }

  onEnd(): void {
    if (this.#state === 'unsure') this.refuse(probeClose('eof', 'left before its limits were known'))
    else if (this.#reader!.isEmpty) this.refuse(probeClose('eof', 'left without a byte'))
    else this.refuse(makeClose('aborted', 'client', 'admit', 'left inside its PROXY header'))
  }

  onProgress(): void {}

  onClosed(_endpoint: Endpoint, error: NodeJS.ErrnoException | null): void {
    if (this.#reader?.isEmpty === true) return this.refuse(probeClose('reset', 'left without a byte'))
    this.refuse(
      error === null ? makeClose('aborted', 'client', 'admit') : closeFromError(error, 'client', 'admit'),
    )
  }
}

function ignore(): void {}
