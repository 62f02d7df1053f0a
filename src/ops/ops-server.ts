// A small HTTP server beside the path: routes are rows of a table, and everything that a peer could make grow
// is bounded. The health and the admin server are two tables over it. Node's own header and request timeouts
// suffice off the data path; this file adds what they do not cover.
//
// Bounds: connections (a new one displaces the oldest, so that a probe always gets in, except those of a
// route with `isKept`), one answer at a time for each (pipelined requests would each hold one), 5 s without
// progress while an answer is written, 5 s for a request.

import type { IncomingHttpHeaders, IncomingMessage, Server, ServerResponse } from 'node:http'
import { listenOn } from '../listener/listen.ts'
import { nodeHttp } from '../core/late.ts'
import type { AddressInfo, Socket } from 'node:net'
import { Sweep, type Clock } from '../core/clock.ts'
import type { Answer } from './answer.ts'
import { OpsConnection, PROGRESS_MS } from './ops-connection.ts'

export interface OpsRequest {
  /** The text at the place of `:name` in the path. */
  readonly parameter: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  /** Aborted when the client has left, or the answer is complete: for handlers that take their time. */
  readonly signal: AbortSignal
}

export interface Route {
  method: 'GET' | 'POST' | 'DELETE'
  /** `/connections` or, with one parameter as the last part, `/connections/:id`. */
  path: string
  /** One line for the help text. */
  summary: string
  handle(request: OpsRequest): Answer | Promise<Answer>
  /**
   * Its clients wait for long, and something depends on them: new connections do not displace them, up to
   * half of all connections.
   */
  isKept?: true
}

export interface OpsServerOptions {
  clock: Clock
  routes: readonly Route[]
  /** Runs before the route; its answer refuses the request. */
  guard?: (request: IncomingMessage) => Answer | null | Promise<Answer | null>
  /** For an error in a handler; the peer gets a bare 500. */
  onError?: (error: unknown) => void
  maxConnections?: number
}

export type OpsAddress = { port: number; host?: string } | { path: string }

const REQUEST_MS = 5000

export class OpsServer {
  readonly #options: OpsServerOptions
  readonly #server: Server
  readonly #sweep: Sweep
  /** Oldest first. */
  readonly #connections = new Map<Socket, OpsConnection>()
  readonly #maxConnections: number

  constructor(options: OpsServerOptions) {
    this.#options = options
    this.#maxConnections = options.maxConnections ?? 64
    this.#sweep = new Sweep(options.clock, PROGRESS_MS)
    const timeouts = {
      headersTimeout: REQUEST_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: 2 * REQUEST_MS,
    }
    this.#server = nodeHttp().createServer(
      { ...timeouts, connectionsCheckingInterval: 1000, maxHeaderSize: 8192 },
      // An answer that is malformed, or cannot be finished, must not end the process, nor look complete.
      (request, response) => {
        void this.#onRequest(request, response).catch((error: unknown) => {
          this.#options.onError?.(error)
          request.socket.destroy()
        })
      },
    )
    this.#server.on('connection', (socket) => this.#onConnection(socket))
  }

  /** Resolves with the bound port; 0 for a path. */
  async start(address: OpsAddress): Promise<number> {
    await listenOn(this.#server, address)
    // A later error of accept must not end the process.
    this.#server.on('error', (error) => this.#options.onError?.(error))
    const bound: AddressInfo | string | null = this.#server.address()
    return bound === null || typeof bound === 'string' ? 0 : bound.port
  }

  /** Closes the listener and every connection; resolves when all are gone. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve())
      for (const connection of this.#connections.values()) connection.drop()
    })
  }

  #onConnection(socket: Socket): void {
    if (this.#connections.size >= this.#maxConnections) this.#makeRoom()
    this.#connections.set(socket, new OpsConnection(socket, this.#options.clock, this.#sweep))
    socket.once('close', () => this.#connections.delete(socket))
  }

  /**
   * Refusing newcomers would let anyone's 64 idle connections fail the probes: the kubelet would kill the
   * pod.
   */
  #makeRoom(): void {
    let victim: [Socket, OpsConnection] | null = null
    for (const entry of this.#connections) {
      if (entry[1].isKept) continue
      if (victim === null || (victim[1].isAnswering && !entry[1].isAnswering)) victim = entry
      if (!victim[1].isAnswering) break
    }
    if (victim === null) return
    this.#connections.delete(victim[0])
    victim[1].reset()
  }

  #keep(socket: Socket): void {
    const kept = [...this.#connections.values()].filter(({ isKept }) => isKept).length
    const connection = this.#connections.get(socket)
    if (connection !== undefined && kept < this.#maxConnections / 2) connection.isKept = true
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = this.#connections.get(request.socket)
    if (connection === undefined || connection.isAnswering) {
      request.socket.destroy()
      return
    }
    const signal = connection.begin(response)
    await connection.send(await this.#answerOrApologise(request, response, signal), request.method === 'HEAD')
  }

  async #answerOrApologise(
    request: IncomingMessage,
    response: ServerResponse,
    signal: AbortSignal,
  ): Promise<Answer> {
    try {
      return await this.#answer(request, response, signal)
    } catch (error) {
      this.#options.onError?.(error)
      return { status: 500, body: 'internal error\n' }
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse, signal: AbortSignal): Promise<Answer> {
    const refusal = await this.#options.guard?.(request)
    if (refusal) return refusal
    const target = request.url ?? '/'
    const mark = target.indexOf('?')
    const path = mark < 0 ? target : target.slice(0, mark)
    const method = request.method === 'HEAD' ? 'GET' : request.method
    const matches = this.#options.routes.filter((route) => matchPath(route.path, path) !== null)
    const route = matches.find((candidate) => candidate.method === method)
    if (route === undefined && matches.length > 0) {
      const allowed = matches
        .map((candidate) => (candidate.method === 'GET' ? 'GET, HEAD' : candidate.method))
        .join(', ')
      response.setHeader('Allow', allowed)
      return { status: 405, body: `method not allowed, allowed: ${allowed}\n` }
    }
    if (route === undefined) return { status: 404, body: 'not found\n' }
    if (route.isKept === true) this.#keep(request.socket)
    const query = new URLSearchParams(mark < 0 ? '' : target.slice(mark + 1))
    return route.handle({
      parameter: matchPath(route.path, path) ?? '',
      query,
      headers: request.headers,
      signal,
    })
  }
}

/** The parameter (empty if the pattern has none), or null if the path does not match. */
function matchPath(pattern: string, path: string): string | null {
  const colon = pattern.indexOf(':')
  if (colon < 0) return pattern === path ? '' : null
  if (!path.startsWith(pattern.slice(0, colon))) return null
  const parameter = path.slice(colon)
  return parameter === '' || parameter.includes('/') ? null : parameter
}
