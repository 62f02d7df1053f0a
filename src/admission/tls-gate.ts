// The gate of TLS: a handshake over an accepted socket, by Node's TLS server, which never listens itself.
// Everything about the raw socket stays with its owner, so a peer that stalls inside its handshake ends by
// RST like any other: Node's server alone would report it and leave it open.
//
// Handshakes in flight are bounded: each holds some 50 KB, and a thousand half ClientHellos cost their
// senders nothing. Clients share the places (by `clientKey`): with none left, the client that has the most
// gives one up. So a client that begins handshakes and does not finish them is only in its own way.

import type { Socket } from 'node:net'
import type tls from 'node:tls'
import type { Clock } from '../core/clock.ts'
import { makeClose, probeClose } from '../core/close.ts'
import type { Close } from '../core/close.ts'
import { alertRecord, certificateProblem, serverSecretOf } from './tls-alert.ts'
import { TlsParent } from './tls-parent.ts'
import { parentOf } from '../endpoint/raw-socket.ts'
import { isSame, nodeTls } from '../core/late.ts'

/** The certificate to show, and the authorities to ask for. A change applies to later handshakes. */
export interface TlsMaterial {
  cert: Buffer
  key: Buffer
  /** Clients must show a certificate of one of these authorities; null asks for none. */
  clientCa: Buffer | null
}

export interface TlsGateOptions {
  minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** In OpenSSL's words. */
  ciphers: string
  /** The protocols of ALPN; null offers none. */
  protocols: string[] | null
}

export interface Handshaker {
  /** The client's key: handshakes with the same key belong to one client's share. */
  readonly clientKey: string
  /** One of these is called, once, unless the handshake is cancelled. */
  onSecure(socket: tls.TLSSocket): void
  /**
   * The raw socket is still the handshaker's to close. `farewell` sends the reason, in a turn of its own, and
   * ends the socket; null where there is nothing to send.
   */
  onHandshakeFailed(close: Close, farewell: (() => void) | null): void
}

const MAX_IN_FLIGHT = 256
/**
 * A handshake that takes longer has a slow or a silent peer. With no place left it gives way to another; a
 * younger one does not.
 */
const QUICK_MS = 1000
/**
 * How long a client of an authority resumes its session. OpenSSL's own two hours outlast certificates that
 * live for one, and a client whose library prefers its ticket would not show a renewed certificate before the
 * old one has expired.
 */
const SESSION_SECONDS = 300
/** Our own deadline counts (deadlines.handshake, from the accept on); Node's cannot be switched off. */
const NEVER_MS = 2 ** 31 - 1

interface InFlight {
  handshaker: Handshaker
  since: number
  /** Bytes read before the handshake: the PROXY header of a load balancer, which probes send too. */
  before: number
  /** The secret of the server's records, with TLS 1.3, where the gate asks for certificates. */
  secret: Buffer | null
  /** From when OpenSSL asks the client for a certificate, until it has one. */
  parent: TlsParent | null
}

export class TlsGate {
  readonly #options: TlsGateOptions
  readonly #clock: Pick<Clock, 'wall'>
  /** In the order in which they began. */
  readonly #inFlight = new Map<Socket, InFlight>()
  #server: tls.Server | null = null
  #clientCa: Buffer | null = null

  constructor(options: TlsGateOptions, clock: Pick<Clock, 'wall'>) {
    this.#options = options
    this.#clock = clock
  }

  get inFlight(): number {
    return this.#inFlight.size
  }

  /** Throws OpenSSL's error for material that does not fit together; the former material then stays. */
  use({ cert, key, clientCa }: TlsMaterial): void {
    const { minVersion, ciphers, protocols } = this.#options
    const options = {
      cert,
      key,
      minVersion,
      ciphers,
      ...(clientCa === null
        ? {}
        : { ca: clientCa, requestCert: true, rejectUnauthorized: true, sessionTimeout: SESSION_SECONDS }),
    }
    if (this.#server !== null) {
      // Without the former ticket keys, each ticket that clients hold would cost a full handshake. With them,
      // a client of an authority that is no longer trusted would come in again by its ticket: a resumed
      // handshake asks for no certificate.
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
    if (flight.parent !== null) return
    const parent = (flight.parent = new TlsParent(socket, parentOf(socket)))
    // In place of Node's own judgement, which hangs up; Node's runs if there is no problem.
    const own = socket.listeners('secure')
    socket.removeAllListeners('secure').once('secure', () => {
      parent.leave()
      const problem = certificateProblem(socket, this.#clock.wall())
      if (problem !== null) this.#refuse(socket, problem)
      else for (const listener of own) listener.call(socket)
    })
  }

  /**
   * OpenSSL accepted this certificate only because Node lets it accept all, or with the session that the
   * client resumed.
   */
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

  /** The caller unshifts bytes that it has read from `raw`; nobody else reads `raw` from here on. */
  begin(raw: Socket, handshaker: Handshaker, now: number): void {
    if (this.#inFlight.size >= MAX_IN_FLIGHT && !this.#makeRoom(handshaker.clientKey, now))
      return handshaker.onHandshakeFailed(tooMany(), null)
    const before = raw.bytesRead - raw.readableLength
    this.#inFlight.set(raw, { handshaker, since: now, before, secret: null, parent: null })
    // Half of a handshake is nothing: a client that ends its half inside it has left. The TLS socket keeps
    // the value that it finds.
    raw.allowHalfOpen = false
    this.#server!.emit('connection', raw)
    raw.allowHalfOpen = true
  }

  /** From here on the gate reports nothing about `raw`. */
  cancel(raw: Socket): void {
    this.#inFlight.delete(raw)
  }

  #makeRoom(client: string, now: number): boolean {
    const { greediest, most, own } = this.#sharesBeside(client)
    const isUneven = most > own + 1
    for (const [raw, { handshaker, since }] of this.#inFlight) {
      // The oldest of the client that has the most, however young. Among equals the newcomer's own oldest, or
      // the oldest of all.
      if (isUneven ? handshaker.clientKey !== greediest : own > 0 && handshaker.clientKey !== client) continue
      if (!isUneven && now - since < QUICK_MS) return false
      this.#inFlight.delete(raw)
      handshaker.onHandshakeFailed(tooMany(), null)
      return true
    }
    return false
  }

  /** Counted only where no place is left. */
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
    // OpenSSL has sent the reason, in an alert that is on its way.
    const hasAlert = (error.code ?? '').startsWith('ERR_SSL_')
    const flight = this.#take(socket)
    const parent = flight?.parent ?? null
    flight?.handshaker.onHandshakeFailed(
      closeFromHandshake(error, socket, flight.before),
      hasAlert ? () => parent?.end() : null,
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

/** Why a handshake failed, in our words; `detail` has OpenSSL's. */
function closeFromHandshake(
  error: NodeJS.ErrnoException & { reason?: string },
  socket: tls.TLSSocket,
  before: number,
): Close {
  const { code = '' } = error
  const { authorizationError } = socket
  const isSilent = parentOf(socket).bytesRead <= before
  const refused = authorizationError as unknown as string | null
  if (refused !== null && refused !== undefined)
    return makeClose('denied', 'client', 'admit', `client certificate: ${refused} (tls.clientCa)`)
  if (code === 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE')
    return makeClose('denied', 'client', 'admit', 'no client certificate (tls.clientCa)')
  // Node reports a peer that left without a word as "socket hang up", with the code of an RST.
  const hasEnded = code === 'ECONNRESET' && error.syscall === undefined
  if (isSilent && !code.startsWith('ERR_'))
    return probeClose(hasEnded ? 'eof' : 'reset', 'left without a byte')
  if (hasEnded) return makeClose('aborted', 'client', 'admit', 'left inside its TLS handshake')
  if (!code.startsWith('ERR_')) return makeClose('reset', 'client', 'admit', code)
  return makeClose(
    'protocol_error',
    'client',
    'admit',
    `TLS handshake: ${error.reason ?? error.message} (${code})`.slice(0, 160),
  )
}
