// What one listener limits: its places, its clients, its newcomers, its rates; and how that is told to the metrics. A
// successor after a reload inherits the counts: who is open was counted by its predecessor.

import { Clients } from '../limits/clients.ts'
import { ConnectionLimit } from '../limits/places.ts'
import { Newcomers } from '../limits/newcomers.ts'
import { Rates } from '../limits/rates.ts'
import type { ListenerConfig } from '../config/schema.ts'
import type { Connection, LimitAction, LimitName } from '../core/connection.ts'
import type { MeteredLimit, MeteredListener } from '../metrics/listener-metrics.ts'
import { clientOptions, ratesOptions, shortestDeadline } from './options.ts'
import type { LiveDeadlines, Served } from './options.ts'
import type { SharedParts } from './served-listener.ts'

const DEFAULT_CONNECTIONS = 10_000

export class ServedLimits {
  readonly #shared: SharedParts
  readonly #name: string
  readonly places: ConnectionLimit
  readonly clients: Clients | null
  readonly newcomers: Newcomers | null
  readonly rates: Rates | null

  constructor(config: ListenerConfig, shared: SharedParts, { read, deadlines }: Pick<Served, 'read' | 'deadlines'>, predecessor: ServedLimits | null) {
    this.#shared = shared
    this.#name = config.name
    this.places = predecessor?.places ?? this.#makePlaces(config)
    this.clients = this.#makeClients(config, predecessor?.clients ?? null)
    this.newcomers = this.#makeNewcomers(config, deadlines)
    const rates = ratesOptions(config, read)
    this.rates = rates && new Rates(rates, { ...shared, clients: this.clients, report: this.#report })
  }

  /** `config` holds from now on: its numbers for whoever comes, not against those who are there. */
  settle(config: ListenerConfig): void {
    const { connections, isEnforced } = config.limits
    this.places.max = maxConnections(config, this.#shared)
    this.places.isEnforced = isEnforced || connections === null
    const perClient = clientOptions(config)
    if (this.clients !== null && perClient !== null) this.clients.options = { ...perClient, report: this.#report }
  }

  release(connection: Connection): void {
    this.places.release()
    this.clients?.release(connection.clientAddress, this.#shared.clock.now())
  }

  readonly #report = (limit: LimitName, action: LimitAction, isEnforced: boolean): void => {
    this.#shared.metrics.onLimited(this.#name, limit, action, isEnforced)
  }

  #makePlaces(config: ListenerConfig): ConnectionLimit {
    const { connections, isEnforced } = config.limits
    const { processLimit, log } = this.#shared
    const max = maxConnections(config, this.#shared)
    if (connections === null && max < DEFAULT_CONNECTIONS) {
      log.warn('fewer connections than by default: the descriptor limit holds no more', { listener: this.#name, connections: max })
    }
    const onFull = (isFull: boolean): void => this.#report('connections', 'close', isFull)
    return new ConnectionLimit(max, processLimit, { isEnforced: isEnforced || connections === null, onFull })
  }

  #makeClients(config: ListenerConfig, known: Clients | null): Clients | null {
    const options = clientOptions(config)
    return options && (known ?? new Clients({ ...options, report: this.#report }))
  }

  #makeNewcomers(config: ListenerConfig, deadlines: LiveDeadlines): Newcomers | null {
    const { name, limits } = config
    const { perSec, per } = limits.newConnections
    if (!Number.isFinite(perSec) || per === 'client') return null
    const report = (action: LimitAction, isEnforced: boolean): void => this.#report('newConnections', action, isEnforced)
    return new Newcomers({ ...limits.newConnections, deadlines, report }, { ...this.#shared, sweep: this.#shared.sweeps.of(name, shortestDeadline(config)) })
  }
}

function maxConnections({ limits }: ListenerConfig, { processLimit }: { processLimit: { max: number } }): number {
  return limits.connections ?? Math.min(DEFAULT_CONNECTIONS, processLimit.max)
}

/** The limits that are on. */
function meteredLimits({ limits, protocol }: ListenerConfig): MeteredLimit[] {
  const { connectionsPerClient, newConnections, bytes, messages, minRate, isEnforced, connections } = limits
  const all: Array<[isOn: number, MeteredLimit]> = [
    [0, { limit: 'connections', action: 'close', isEnforced: isEnforced || connections === null }],
    [connectionsPerClient, { limit: 'connectionsPerClient', action: 'close', isEnforced }],
    [newConnections.perSec, { limit: 'newConnections', action: newConnections.onExceed, isEnforced: newConnections.isEnforced }],
    [bytes.perSec, { limit: 'bytes', action: bytes.onExceed, isEnforced: bytes.isEnforced }],
    [protocol === 'http' ? messages.perSec : Number.POSITIVE_INFINITY, { limit: 'messages', action: messages.onExceed, isEnforced: messages.isEnforced }],
    [minRate.bytesPerSec, { limit: 'minRate', action: 'close', isEnforced: minRate.isEnforced }],
  ]
  return all.filter(([perSec]) => Number.isFinite(perSec)).map(([, limit]) => limit)
}

/** What the metrics are told of a listener; `processLimit` as in SharedParts. */
export function meteredListener(config: ListenerConfig, process: { processLimit: { max: number } }): MeteredListener {
  const { name, protocol, buffers } = config
  return {
    name,
    protocols: protocol === 'tcp' ? ['tcp'] : ['http', 'websocket'],
    maxConnections: maxConnections(config, process),
    bufferHighBytes: buffers.highBytes,
    limits: meteredLimits(config),
  }
}
