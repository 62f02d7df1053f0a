// The opening of a WebSocket: it reads and judges the client's head, dials the upstream, sends the head on,
// and judges the answer, before one byte of the client goes through. Any answer but a verified 101 is relayed
// as the plain HTTP answer that it is, or becomes a 502.

import type { ClientGate } from '../admission/client-gate.ts'
import { makeClose } from '../core/close.ts'
import type { Close, PeerSide, Reason } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Live } from '../core/live.ts'
import { refuses } from '../core/strain.ts'
import type { Endpoint } from '../endpoint/endpoint.ts'
import { forwardedFor } from '../http1/forwarding.ts'
import type { ForwardingOptions } from '../http1/forwarding.ts'
import { answerHeadText, judgeAnswer, readAnswerHead } from '../http1/answer-head.ts'
import { HeadCollector, MORE, TOO_BIG } from '../http1/head-collector.ts'
import type { AnswerHead, RequestHead } from '../http1/head.ts'
import { namedClient } from '../http1/named-client.ts'
import { notHttp } from '../http1/not-http.ts'
import { PREFACE_HEAD, readRequestHead } from '../http1/request-head.ts'
import { MAX_INTERIM, MAX_INTERIM_READ, TOO_MANY_INTERIM } from '../http1/interim.ts'
import type { HttpOptions } from '../http1/options.ts'
import type { FirstRequest } from '../http1/serve.ts'
import { PlainAnswer } from '../http1/plain-answer.ts'
import { refusal } from '../http1/refusal.ts'
import { Opening } from '../opening/opening.ts'
import type { ServeContext, ServeOptions } from '../opening/opening.ts'
import type { OpeningSteps } from '../opening/steps.ts'
import { Frames } from './frames.ts'
import type { FramesOptions } from './frames-options.ts'
import { messageEnds } from './messages.ts'
import type { MessagesOptions } from './messages.ts'
import { acceptDeflate } from './deflate.ts'
import { checkAccepted, checkUpgrade, isUpgrade } from '../http1/upgrade.ts'
import type { Upgrade, UpgradeOptions } from '../http1/upgrade.ts'
import { NOTHING } from '../core/nothing.ts'

export interface WebSocketDeadlines {
  /**
   * Milliseconds from the accept to the end of the client's head, in total: a byte a second does not extend
   * it (slowloris).
   */
  handshakeMs: number
  /** Milliseconds from the sent request, or an interim answer, to the end of the upstream's next head. */
  responseMs: number
  /** Bounds the same where that is off. */
  idleMs: number
  /** Milliseconds that the body of an answer which declines the upgrade may stall. */
  answerIdleMs: number
}

export interface WebSocketOptions extends ServeOptions, ForwardingOptions {
  deadlines: Live<WebSocketDeadlines>
  /** The most bytes of a head, the client's or the upstream's. */
  maxHeaderBytes: number
  upgrade: UpgradeOptions
  /** Which peers may write heads and chunks loosely. */
  lenient: HttpOptions['lenient']
  frames: FramesOptions
  /** Message mode; null is frames mode. */
  messages: MessagesOptions | null
  /** Judges each upgrade of a peer that names its clients. */
  clients: Pick<ClientGate, 'whenNamedKnown' | 'admitFor'>
  /** Takes over a client whose first request is no upgrade. */
  servePlain: (connection: Connection, client: Endpoint, first: FirstRequest) => void
  /** Takes over a client that begins with HTTP/2's preface, the start of `early`; null: HTTP/2 is refused. */
  serveHttp2: ((connection: Connection, client: Endpoint, early: Buffer) => void) | null
}

/** Takes ownership of `client`. */
export function serveWebSocket(
  connection: Connection,
  client: Endpoint,
  options: WebSocketOptions,
  context: ServeContext,
): void {
  connection.phase = 'handshake'
  const opening = new Opening(connection, client, { options, context, steps: new WebSocketOpening(options) })
  // From the accept on: a PROXY header and a TLS handshake have had their share of it.
  const close = makeClose('handshake_timeout', 'client', 'handshake', 'deadlines.handshake')
  opening.expect(() => ({ ms: options.deadlines.current.handshakeMs, close }), connection.openedAt)
}

/** Takes ownership of `client`, whose request head is already read; `early` came after it. */
export function serveUpgrade(
  connection: Connection,
  client: Endpoint,
  { request, early }: { request: RequestHead; early: Buffer },
  { options, context }: { options: WebSocketOptions; context: ServeContext },
): void {
  connection.phase = 'handshake'
  const steps = new WebSocketOpening(options)
  const opening = new Opening(connection, client, { options, context, steps })
  steps.onUpgrade(opening, request, early)
}

class WebSocketOpening implements OpeningSteps {
  readonly #options: WebSocketOptions
  readonly #request: HeadCollector
  readonly #answer: HeadCollector
  #hasRequest = false
  /** Null until the request is judged. */
  #upgrade: Upgrade | null = null
  #interim = 0
  /** Bytes of the client's request head, with the empty lines before it. */
  #headBytes = 0
  #answerBytes = 0

  constructor(options: WebSocketOptions) {
    this.#options = options
    this.#request = new HeadCollector(options.maxHeaderBytes, options.lenient === 'both')
    this.#answer = new HeadCollector(options.maxHeaderBytes, options.lenient !== 'off')
  }

  heldBytes(side: PeerSide): number {
    return (side === 'upstream' ? this.#request : this.#answer).heldBytes
  }

  answer(close: Close): Buffer | null {
    // The opening is over, and its client may take a while to see it.
    this.#upgrade = null
    this.#request.reset()
    return refusal(close)
  }

  onClientBytes(opening: Opening, bytes: Buffer, length: number): void {
    if (this.#hasRequest) return opening.keep(bytes, 0, length)
    const head = this.#request
    const at = head.read(bytes, head.skipEmptyLines(bytes, 0, length), length)
    const taken = at < 0 ? length : at
    this.#headBytes += taken
    opening.connection.toUpstream.received += taken
    const isShort = opening.context.strain.heap.isShort(taken)
    if (at === MORE) return this.#mayBePreface ? undefined : this.#judgeBegin(opening, isShort)
    opening.early.weighHead(0)
    if (at === TOO_BIG) {
      return opening.close({
        ...makeClose('message_too_big', 'client', 'handshake', 'request head (http.maxHeader)'),
        httpStatus: 431,
      })
    }
    const text = head.take()
    if (this.#options.serveHttp2 !== null && text === PREFACE_HEAD) {
      opening.connection.toUpstream.received -= this.#headBytes
      const early = Buffer.concat([Buffer.from(PREFACE_HEAD), bytes.subarray(at, length)])
      return this.#options.serveHttp2(opening.connection, opening.giveAway(), early)
    }
    const request = readRequestHead(text, this.#options.lenient === 'both')
    if (typeof request === 'string')
      return opening.close(makeClose('protocol_error', 'client', 'handshake', notHttp(text) ?? request))
    if (!isUpgrade(request)) {
      // The service that takes over counts anew.
      opening.connection.toUpstream.received -= this.#headBytes
      return this.#options.servePlain(opening.connection, opening.giveAway(), {
        request,
        headBytes: this.#headBytes,
        early: bytes.subarray(at, length),
      })
    }
    opening.context.observer.onHead(opening.connection, 'client', this.#headBytes)
    this.onUpgrade(opening, request, bytes.subarray(at, length))
  }

  get #mayBePreface(): boolean {
    return this.#options.serveHttp2 !== null && this.#request.isOf(PREFACE_HEAD)
  }

  /** Ends the opening for bytes that cannot become a request, or for which there is no room. */
  #judgeBegin(opening: Opening, isShort: boolean): void {
    const problem = this.#options.lenient === 'both' ? null : notHttp(this.#request.begin)
    if (problem !== null) opening.close(makeClose('protocol_error', 'client', 'handshake', problem))
    else if (isShort) opening.close(makeClose('overloaded', 'sidegate', 'handshake', 'memory.refuseAt'))
    else this.#weighHead(opening, this.#request.heldBytes)
  }

  #weighHead(opening: Opening, bytes: number): void {
    if (!opening.early.weighHead(bytes))
      opening.close(makeClose('overloaded', 'sidegate', 'handshake', 'memory.buffered'))
  }

  /** `early` came after it; valid until this returns. */
  onUpgrade(opening: Opening, request: RequestHead, early: Buffer): void {
    const { connection } = opening
    this.#hasRequest = true
    connection.protocol = 'websocket'
    opening.report()
    opening.keep(early, 0, early.length)
    if (!opening.isWaiting) return
    if (connection.namesClients) this.#admit(opening, request)
    else this.#begin(opening, request)
  }

  /** Judges the client that the request names, once a fleet has answered where it is in doubt. */
  #admit(opening: Opening, request: RequestHead): void {
    const { clients } = this.#options
    const client = namedClient(request.headers, opening.connection.peer, this.#options)
    opening.connection.client = client
    const judge = (): void => {
      if (!opening.isWaiting || endsAsOverloaded(opening)) return
      const close = clients.admitFor(opening.connection, client)
      if (close !== null) opening.close(close)
      else this.#begin(opening, request)
    }
    if (!endsAsOverloaded(opening) && clients.whenNamedKnown(client, judge) === null) judge()
  }

  #begin(opening: Opening, request: RequestHead): void {
    const { connection } = opening
    if (endsAsOverloaded(opening)) return
    const upgrade = checkUpgrade(request, this.#options.upgrade, forwardedFor(connection, this.#options))
    if ('reason' in upgrade) return opening.close(upgrade)
    this.#upgrade = upgrade
    opening.dial()
    if (opening.isWaiting) this.#weighHead(opening, upgrade.head.length)
  }

  onClientEnd(opening: Opening): void {
    const { phase } = opening.connection
    // Load balancers probe a port by opening and closing it; that is not an incident.
    const isProbe = !this.#hasRequest && this.#request.isEmpty
    opening.close(
      isProbe
        ? makeClose('eof', 'client', phase, 'no request')
        : makeClose('aborted', 'client', phase, 'left before the handshake was done'),
    )
  }

  onDialled(opening: Opening): void {
    opening.early.weighHead(0)
    opening.sendUpstream(this.#upgrade!.head)
    opening.connection.phase = 'handshake'
    this.#awaitAnswer(opening)
  }

  #awaitAnswer(opening: Opening): void {
    const { deadlines } = this.#options
    opening.expect(() => {
      const { responseMs, idleMs } = deadlines.current
      return Number.isFinite(responseMs)
        ? { ms: responseMs, close: unanswered('response_timeout', 'response') }
        : { ms: idleMs, close: unanswered('idle_timeout', 'idle') }
    })
  }

  onUpstreamBytes(opening: Opening, bytes: Buffer, length: number): void {
    for (let at = 0; at < length && opening.isWaiting;) at = this.#takeAnswer(opening, bytes, at, length)
  }

  /** Takes one head, and with a final one all that follows; returns where it ends. */
  #takeAnswer(opening: Opening, bytes: Buffer, start: number, length: number): number {
    const head = this.#answer
    const at = head.read(bytes, start, length)
    opening.connection.toClient.received += (at < 0 ? length : at) - start
    if (at === TOO_BIG)
      opening.close(makeClose('message_too_big', 'upstream', 'handshake', 'answer head (http.maxHeader)'))
    if (at < 0) return length
    const text = head.take()
    this.#answerBytes = text.length
    const answer = readAnswerHead(text, this.#options.lenient !== 'off')
    if (typeof answer === 'string')
      opening.close(makeClose('protocol_error', 'upstream', 'handshake', answer))
    else if (isInterim(answer)) this.#onInterim(opening)
    else this.#onAnswer(opening, answer, at === length ? NOTHING : Buffer.from(bytes.subarray(at, length)))
    return typeof answer !== 'string' && isInterim(answer) ? at : length
  }

  /** The service says that it works on the final one; none of them concerns the client of a WebSocket. */
  #onInterim(opening: Opening): void {
    if (++this.#interim > MAX_INTERIM_READ)
      opening.close(makeClose('protocol_error', 'upstream', 'handshake', TOO_MANY_INTERIM))
    else if (this.#interim <= MAX_INTERIM) this.#awaitAnswer(opening)
  }

  #onAnswer(opening: Opening, answer: AnswerHead, rest: Buffer): void {
    if (answer.status === 101) this.#onAccepted(opening, answer, rest)
    else this.#relayPlain(opening, answer, rest)
  }

  #onAccepted(opening: Opening, answer: AnswerHead, rest: Buffer): void {
    const { frames, messages, pair, lenient } = this.#options
    const { clock, observer } = opening.context
    const deflate =
      messages === null ? null : acceptDeflate(this.#upgrade!.deflateOffer, messages.maxMessageBytes)
    const accepted = checkAccepted(answer, this.#upgrade!, {
      extensions: deflate?.answer,
      isLenient: lenient !== 'off',
    })
    if (typeof accepted === 'string')
      return opening.close(makeClose('protocol_error', 'upstream', 'handshake', accepted))
    const { connection } = opening
    observer.onHead(connection, 'upstream', this.#answerBytes)
    observer.onAnswer(connection, clock.now() - (connection.connectedAt ?? connection.openedAt))
    const isCompressed = {
      client: accepted.isCompressed || deflate !== null,
      upstream: accepted.isCompressed,
    }
    const dialogue = new Frames(connection, frames, isCompressed, { clock, observer })
    const ends =
      messages === null
        ? undefined
        : messageEnds(connection, messages, pair, { deflate: deflate?.deflate ?? null, observer })
    opening.together(() => {
      opening.sendClient(accepted.head)
      opening.pair(dialogue, rest, (made) => dialogue.attach(made.toUpstream, made.toClient), ends)
    })
  }

  /** The upstream declined (401, 404, a redirect): its answer is streamed, and then the connection ends. */
  #relayPlain(opening: Opening, answer: AnswerHead, rest: Buffer): void {
    const { lenient, hasVia, deadlines } = this.#options
    const isLenient = lenient !== 'off'
    const judged = judgeAnswer(answer, 'GET', isLenient)
    if (typeof judged === 'string')
      return opening.close(makeClose('protocol_error', 'upstream', 'handshake', judged))
    opening.early.forget()
    const body = new PlainAnswer(opening.connection, judged, { isLenient, idle: deadlines })
    const head = answerHeadText(judged, { version: '1.1', isLast: true, hasVia })
    opening.together(() => {
      opening.sendClient(Buffer.from(head, 'latin1'))
      opening.pair(body, rest, (made) => body.attach(made.toClient))
    })
  }
}

function unanswered(reason: Reason, key: string): Close {
  return makeClose(reason, 'upstream', 'handshake', `no answer to the upgrade (deadlines.${key})`)
}

function isInterim({ status }: AnswerHead): boolean {
  return status < 200 && status !== 101
}

/**
 * The client was let in before memory ran short; its request begins only now, and uses up no limit of its
 * client.
 */
function endsAsOverloaded(opening: Opening): boolean {
  const isRefused = refuses(opening.context.strain, opening.connection)
  if (isRefused) opening.close(makeClose('overloaded', 'sidegate', 'handshake', 'memory.refuseAt'))
  return isRefused
}
