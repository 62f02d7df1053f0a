// The gate of TLS: a handshake over an accepted socket, with Node's TLS server, which never listens itself. Everything about the
// raw socket stays with its owner, so that a peer that stalls inside its handshake is ended by RST like any other: by itself
// that server would tell of it and leave it open.
//
// Handshakes in flight are bounded: each holds some 50 KB, and a thousand half ClientHellos cost their senders nothing. Clients share
// the places, as they are counted everywhere: with none left, the client that has the most gives one up. So one client that begins and does
// not finish is in nobody's way but its own.

import type { Socket } from 'node:net'
import type tls from 'node:tls'
import { makeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { alertRecord, certificateProblem, serverSecretOf } from './tls-alert.ts'
import { parentOf } from '../endpoint/raw-socket.ts'
import { isSame, nodeTls } from '../core/node-lazy.ts'

/** What is shown and what is asked for. A change of it concerns the handshakes that begin after it. */
export interface TlsMaterial {
  cert: Buffer
  key: Buffer
  /** Clients must show a certificate of one of these authorities; null asks for none. */
  clientCa: Buffer | null
}

export interface TlsGateOptions {
  minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** In the words of OpenSSL. */
  ciphers: string
  /** Null offers none. */
  protocols: string[] | null
}

export interface Handshaker {
  /** The client's key: handshakes with the same one have a part of one share each. */
  readonly clientKey: string
  /** One of these is called, once, unless the handshake was cancelled. */
  onSecure(socket: tls.TLSSocket): void
  /** The raw socket is still the handshaker's to close. `farewell` says why, in a turn of its own, and ends it; null where nothing is to be said. */
  onHandshakeFailed(close: Close, farewell: (() => void) | null): void
}

const MAX_IN_FLIGHT = 256
/** A handshake that takes longer has a slow or a silent peer. When there is no place it goes for another; a younger one does not. */
const QUICK_MS = 1000
/** Ours is the deadline (deadlines.handshake, counted from the accept); Node's cannot be switched off. */
const NEVER_MS = 2 ** 31 - 1

interface InFlight {
  handshaker: Handshaker
  since: number
  /** Of what the server sends, with TLS 1.3, where certificates are asked for. */
  secret: Buffer | null
  isJudged: boolean
}

export class TlsGate {
  readonly #options: TlsGateOptions
  /** In the order in which they began. */
  readonly #inFlight = new Map<Socket, InFlight>()
  #server: tls.Server | null = null
  #clientCa: Buffer | null = null

  constructor(options: TlsGateOptions) {
    this.#options = options
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** Throws what OpenSSL says of material that does not fit together; the gate then goes on as before. */
  use({ cert, key, clientCa }: TlsMaterial): void {
    const { minVersion, ciphers, protocols } = this.#options
    const options = {
      cert,
      key,
      minVersion,
      ciphers,
      ...(clientCa === null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
    }
    if (this.#server !== null) {
      // Without the keys of before, the tickets that clients hold would cost a full handshake each. With them, a client that was let in by an authority
      // that is trusted no more would come in again by its ticket: it is not asked for its certificate.
      const isTrustedAsBefore = isSame(clientCa, this.#clientCa)
      this.#server.setSecureContext({
        ...options,
        ...(isTrustedAsBefore ? { ticketKeys: this.#server.getTicketKeys() } : {}),
      })
      this.#clientCa = clientCa
      return
    }
    this.#clientCa = clientCa
    this.#server = nodeTls().createServer({
      ...options,
      handshakeTimeout: NEVER_MS,
      ...(protocols === null ? {} : { ALPNProtocols: protocols }),
    })
    this.#server.on('secureConnection', (socket) => this.#onSecure(socket))
    this.#server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => this.#onError(error, socket))
    if (clientCa !== null) this.#server.on('keylog', (line, socket) => this.#onSecret(line, socket))
  }

  #onSecret(line: Buffer, socket: tls.TLSSocket): void {
    const flight = this.#inFlight.get(parentOf(socket))
    if (flight === undefined) return
    flight.secret ??= serverSecretOf(line)
    if (flight.isJudged) return
    flight.isJudged = true
    // In the place of Node's own judgement, which hangs up; that is made if there is nothing to say.
    const own = socket.listeners('secure')
    socket.removeAllListeners('secure').once('secure', () => {
      const problem = certificateProblem(socket)
      if (problem !== null) this.#refuse(socket, problem)
      else for (const listener of own) listener.call(socket)
    })
  }

  /** Its certificate OpenSSL has accepted only because Node lets it accept all. */
  #refuse(socket: tls.TLSSocket, problem: string): void {
    const flight = this.#take(socket)
    socket.on('error', ignore)
    if (flight === null) return void socket.destroy()
    const raw = parentOf(socket)
    const alert = alertRecord(socket, flight.secret, problem)
    const close = makeClose('denied', 'client', 'admit', `client certificate: ${problem} (tls.clientCa)`)
    flight.handshaker.onHandshakeFailed(close, () => {
      if (alert === null) socket.end()
      else raw.end(alert)
      socket.resume()
    })
  }

  /** Bytes that were read from `raw` already are unshifted; nobody else reads it from here on. */
  begin(raw: Socket, handshaker: Handshaker, now: number): void {
    if (this.#inFlight.size >= MAX_IN_FLIGHT && !this.#makeRoom(handshaker.clientKey, now))
      return handshaker.onHandshakeFailed(tooMany(), null)
    this.#inFlight.set(raw, { handshaker, since: now, secret: null, isJudged: false })
    // Half of a handshake is nothing: a client that ends its half inside it has left. The TLS socket takes over what it finds.
    raw.allowHalfOpen = false
    this.#server!.emit('connection', raw)
    raw.allowHalfOpen = true
  }

  /** Nothing is reported of it any more. */
  cancel(raw: Socket): void {
    this.#inFlight.delete(raw)
  }

  #makeRoom(client: string, now: number): boolean {
    const { greediest, most, own } = this.#sharesBeside(client)
    const isUneven = most > own + 1
    for (const [raw, { handshaker, since }] of this.#inFlight) {
      // The oldest of the client that has the most, however young. Among equals it is the newcomer's own, or the oldest of all.
      if (isUneven ? handshaker.clientKey !== greediest : own > 0 && handshaker.clientKey !== client) continue
      if (!isUneven && now - since < QUICK_MS) return false
      this.#inFlight.delete(raw)
      handshaker.onHandshakeFailed(tooMany(), null)
      return true
    }
    return false
  }

  /** Counted only where there is no place left. */
  #sharesBeside(client: string): { greediest: string; most: number; own: number } {
    const counts = new Map<string, number>()
    let greediest = client
    for (const {
      handshaker: { clientKey },
    } of this.#inFlight.values()) {
      const count = (counts.get(clientKey) ?? 0) + 1
      counts.set(clientKey, count)
      if (count > (counts.get(greediest) ?? 0)) greediest = clientKey
    }
    return { greediest, most: counts.get(greediest) ?? 0, own: counts.get(client) ?? 0 }
  }

  #onSecure(socket: tls.TLSSocket): void {
    const flight = this.#take(socket)
    if (flight === null) return void socket.destroy()
    // TLS 1.2 lets a client ask for a new handshake at any time, at ten times its own cost to us.
    socket.disableRenegotiation()
    socket.allowHalfOpen = true
    flight.handshaker.onSecure(socket)
  }

  #onError(error: NodeJS.ErrnoException, socket: tls.TLSSocket): void {
    socket.on('error', ignore)
    // OpenSSL has said why, in an alert that is on its way.
    const isTold = (error.code ?? '').startsWith('ERR_SSL_')
    const raw = parentOf(socket)
    this.#take(socket)?.handshaker.onHandshakeFailed(
      closeFromHandshake(error, socket),
      isTold ? () => void raw.end() : null,
    )
  }

  #take(socket: tls.TLSSocket): InFlight | null {
    const raw = parentOf(socket)
    const flight = this.#inFlight.get(raw) ?? null
    this.#inFlight.delete(raw)
    return flight
  }
}

function ignore(): void {}

function tooMany(): Close {
  return makeClose('too_many', 'client', 'admit', 'TLS handshakes in flight')
}

/** Why a handshake failed, in our words; `detail` has those of OpenSSL. */
function closeFromHandshake(
  error: NodeJS.ErrnoException & { reason?: string },
  { authorizationError }: tls.TLSSocket,
): Close {
  const { code = '' } = error
  const refused = authorizationError as unknown as string | null
  if (refused !== null && refused !== undefined)
    return makeClose('denied', 'client', 'admit', `client certificate: ${refused} (tls.clientCa)`)
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE')
    return makeClose('denied', 'client', 'admit', 'no client certificate (tls.clientCa)')
  // Node says "socket hang up" of a peer that left without a word, with the code of an RST.
  if (code === 'ECONNRESET' && error.syscall === undefined)
    return makeClose('aborted', 'client', 'admit', 'left inside its TLS handshake')
  if (!code.startsWith('ERR_')) return makeClose('reset', 'client', 'admit', code)
  return makeClose(
    'protocol_error',
    'client',
    'admit',
    `TLS handshake: ${error.reason ?? error.message} (${code})`.slice(0, 160),
  )
}
