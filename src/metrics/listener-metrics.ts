// The share of one listener in a scrape: totals of the ended connections, and a walk over the open ones.

import type { Connection, LimitAction, LimitName, Protocol } from '../core/connection.ts'
import type { GateInstruments } from './instruments.ts'
import { mirror } from './tally.ts'
import { Traffic } from '../core/traffic.ts'

/** The action of one limit of a listener, so that its series stand at 0 from the start. */
export interface MeteredLimit {
  limit: LimitName
  action: LimitAction
  isEnforced: boolean
}

export interface MeteredListener {
  /** From the configuration: it becomes a label. */
  name: string
  /** The protocols of its connections: `tcp`, or `http` and `websocket`. */
  protocols: readonly Protocol[]
  /** How many may be open at once; infinite where there is no limit. */
  maxConnections: number
  /** `buffers.high`. */
  bufferHighBytes: number
  limits?: readonly MeteredLimit[]
}

export class ListenerMetrics {
  readonly #name: string
  readonly #instruments: GateInstruments
  readonly #shows: Array<() => void>
  readonly #open = new Map<Protocol, { client: number; upstream: number }>()
  bufferHighBytes: number
  #maxConnections: number
  /** The traffic of ended connections. */
  readonly ended = new Traffic()
  /** The traffic of all connections at the last walk. */
  traffic = new Traffic()
  bufferedForClient = 0
  bufferedForUpstream = 0
  backpressured = 0
  pending = 0

  constructor(options: MeteredListener, instruments: GateInstruments) {
    this.#name = options.name
    this.#instruments = instruments
    this.bufferHighBytes = options.bufferHighBytes
    this.#maxConnections = options.maxConnections
    for (const protocol of options.protocols) this.#open.set(protocol, { client: 0, upstream: 0 })
    this.#shows = this.#mirrors()
  }

  #mirrors(): Array<() => void> {
    const listener = this.#name
    const { received, transmitted } = this.#instruments
    const fromClient = mirror(received, { listener, side: 'client' })
    const fromUpstream = mirror(received, { listener, side: 'upstream' })
    const toClient = mirror(transmitted, { listener, side: 'client' })
    const toUpstream = mirror(transmitted, { listener, side: 'upstream' })
    const shows = [
      () => fromClient(this.traffic.receivedFromClient),
      () => fromUpstream(this.traffic.receivedFromUpstream),
      () => toClient(this.traffic.takenByClient),
      () => toUpstream(this.traffic.takenByUpstream),
    ]
    return this.#open.has('websocket') ? [...shows, ...this.#messageMirrors()] : shows
  }

  #messageMirrors(): Array<() => void> {
    const listener = this.#name
    const { messages } = this.#instruments
    const messagesToUpstream = mirror(messages, { listener, direction: 'to_upstream' })
    const messagesToClient = mirror(messages, { listener, direction: 'to_client' })
    return [
      () => messagesToUpstream(this.traffic.messagesToUpstream),
      () => messagesToClient(this.traffic.messagesToClient),
    ]
  }

  /** Applies a reload: other limits, and perhaps other protocols under the same name. */
  change({ bufferHighBytes, maxConnections, protocols }: MeteredListener): void {
    this.bufferHighBytes = bufferHighBytes
    this.#maxConnections = maxConnections
    const hadMessages = this.#open.has('websocket')
    for (const protocol of protocols) this.#openOf(protocol)
    if (!hadMessages && this.#open.has('websocket')) this.#shows.push(...this.#messageMirrors())
  }

  /** Open connections of each protocol at the last walk. */
  get open(): ReadonlyMap<Protocol, { readonly client: number; readonly upstream: number }> {
    return this.#open
  }

  beginWalk(): void {
    this.traffic = this.ended.copy()
    for (const open of this.#open.values()) open.client = open.upstream = 0
    this.bufferedForClient = this.bufferedForUpstream = this.backpressured = this.pending = 0
  }

  walk(connection: Connection): void {
    this.traffic.add(connection)
    const open = this.#openOf(connection.protocol)
    open.client++
    if (connection.connectedAt !== null) open.upstream++
    const forClient = connection.owner?.queued('client') ?? 0
    const forUpstream = connection.owner?.queued('upstream') ?? 0
    this.bufferedForClient += forClient
    this.bufferedForUpstream += forUpstream
    if (
      connection.owner?.isPaused('to_client') === true ||
      connection.owner?.isPaused('to_upstream') === true
    )
      this.backpressured++
  }

  #openOf(protocol: Protocol): { client: number; upstream: number } {
    let open = this.#open.get(protocol)
    if (open === undefined) this.#open.set(protocol, (open = { client: 0, upstream: 0 }))
    return open
  }

  show(): void {
    const listener = this.#name
    const { connections, connectionsLimit, connectionsPending, bufferLimit } = this.#instruments
    for (const [protocol, open] of this.#open) {
      connections.set({ listener, protocol, side: 'client' }, open.client)
      connections.set({ listener, protocol, side: 'upstream' }, open.upstream)
    }
    if (Number.isFinite(this.#maxConnections)) connectionsLimit.set({ listener }, this.#maxConnections)
    connectionsPending.set({ listener }, this.pending)
    if (Number.isFinite(this.bufferHighBytes)) bufferLimit.set({ listener }, this.bufferHighBytes)
    for (const show of this.#shows) show()
  }
}
