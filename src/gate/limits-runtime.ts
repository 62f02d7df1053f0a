// The limits of one listener: its places, its clients, its rate of new connections, its rates; and their
// reports to the metrics. A successor after a reload inherits the counts, because its predecessor counted the
// open connections.

import { ClientGate } from '../admission/client-gate.ts'
import type { Scopes } from '../core/cells.ts'
import { Clients } from '../limits/clients.ts'
import { Doubts } from '../limits/doubts.ts'
import { ConnectionLimit } from '../limits/places.ts'
import { ConnectRateGate } from '../limits/connect-rate-gate.ts'
import { RateRules } from '../limits/rate-rules.ts'
import type { ListenerConfig } from '../config/schema.ts'
import { USUAL_CONNECTIONS } from '../config/usual-connections.ts'
import type { Connection, LimitAction, LimitName } from '../core/connection.ts'
import type { MeteredLimit, MeteredListener } from '../metrics/listener-metrics.ts'
import { accessRules, clientOptions, namesClients, ratesOptions, shortestDeadline } from './options.ts'
import type { LiveDeadlines, Served } from './options.ts'
import { speaksHttp2 } from './http2-options.ts'
import type { GateContext } from './gate-context.ts'

export class LimitsRuntime {
  readonly #shared: GateContext
  readonly #name: string
  readonly #scopes: Scopes
  readonly places: ConnectionLimit
  readonly gate: ClientGate
  readonly #doubts: Doubts
  readonly #clients: Clients | null
  readonly connectRate: ConnectRateGate | null
  readonly rates: RateRules | null

  constructor(
    config: ListenerConfig,
    shared: GateContext,
    { read, deadlines }: Pick<Served, 'read' | 'deadlines'>,
    predecessor: LimitsRuntime | null,
  ) {
    this.#shared = shared
    this.#name = config.name
    this.#scopes = scopesOf(config, shared)
    this.places = predecessor?.places ?? this.#makePlaces(config)
    // One room, since clients that a successor keeps know theirs.
    this.#doubts = predecessor === null ? new Doubts(shared.clock) : predecessor.#doubts
    this.#clients = this.#makeClients(config, predecessor === null ? null : predecessor.#clients)
    this.gate = new ClientGate({
      access: accessRules(config),
      namesClients: namesClients(config),
      clients: this.#clients,
      clock: shared.clock,
      doubts: this.#doubts,
    })
    this.connectRate = this.#makeConnectRateGate(config, deadlines)
    const rates = ratesOptions(config, read)
    this.rates =
      rates &&
      new RateRules(rates, { ...shared, scopes: this.#scopes, clients: this.#clients, report: this.#report })
  }

  /** `config` holds from now on: its numbers apply to new clients, not to connected ones. */
  settle(config: ListenerConfig): void {
    const { connections, isEnforced } = config.limits
    this.places.max = maxConnections(config, this.#shared)
    this.places.isEnforced = isEnforced || connections === null
    const perClient = clientOptions(config)
    if (this.#clients === null || perClient === null) return
    this.#clients.moveTo(this.#scopes)
    this.#clients.options = { ...perClient, report: this.#report }
  }

  /** Whether this listener counts its shared limits where a successor would count them. */
  isInPlace(config: ListenerConfig): boolean {
    const { connectionsPerClient, newConnections, bytes, messages } = config.limits
    if ([connectionsPerClient, newConnections, bytes, messages].every(({ scope }) => scope !== 'fleet'))
      return true
    const { fleet } = scopesOf(config, this.#shared)
    return fleet.cells === this.#scopes.fleet.cells && fleet.name === this.#scopes.fleet.name
  }

  release(connection: Connection): void {
    this.places.release(connection.admission)
    this.gate.leave(connection)
  }

  readonly #report = (limit: LimitName, action: LimitAction, isEnforced: boolean): void => {
    this.#shared.observerOf(this.#name).onLimited(this.#name, limit, action, isEnforced)
  }

  #makePlaces(config: ListenerConfig): ConnectionLimit {
    const { connections, isEnforced } = config.limits
    const { processLimit, facts } = this.#shared
    const max = maxConnections(config, this.#shared)
    if (connections === null && max < USUAL_CONNECTIONS) {
      facts.warn('fewer connections than by default: the descriptor limit holds no more', {
        listener: this.#name,
        connections: max,
      })
    }
    const onFull = (isFull: boolean): void => this.#report('connections', 'close', isFull)
    const count = this.#shared.cells.count(`${this.#name} places`)
    return new ConnectionLimit(max, processLimit, {
      isEnforced: isEnforced || connections === null,
      onFull,
      count,
    })
  }

  #makeClients(config: ListenerConfig, known: Clients | null): Clients | null {
    const options = clientOptions(config)
    if (options === null) return null
    // Where the limits move to a shared count, connected clients stay counted where they were.
    const isSame = known?.mayMoveTo(options.scope ?? 'process', this.#scopes) === true
    return isSame ? known : new Clients({ ...options, report: this.#report }, this.#scopes, this.#doubts)
  }

  #makeConnectRateGate(config: ListenerConfig, deadlines: LiveDeadlines): ConnectRateGate | null {
    const { name, limits } = config
    const { perSec, per } = limits.newConnections
    if (!Number.isFinite(perSec) || per === 'client') return null
    const report = (action: LimitAction, isEnforced: boolean): void =>
      this.#report('newConnections', action, isEnforced)
    return new ConnectRateGate(
      { ...limits.newConnections, deadlines, report },
      {
        ...this.#shared,
        ...this.#scopes[limits.newConnections.scope],
        sweep: this.#shared.sweeps.of(name, shortestDeadline(config)),
      },
    )
  }
}

function scopesOf({ name }: ListenerConfig, { cells, fleet }: GateContext): Scopes {
  const own = { cells, name }
  return {
    process: own,
    fleet: fleet === null ? own : { cells: fleet.cells, name: fleet.group ?? name },
  }
}

function maxConnections(
  { limits }: ListenerConfig,
  { processLimit }: { processLimit: { max: number } },
): number {
  return limits.connections ?? Math.min(USUAL_CONNECTIONS, processLimit.max)
}

/** The limits that are on. */
function meteredLimits({ limits, protocol }: ListenerConfig): MeteredLimit[] {
  const { connectionsPerClient, newConnections, bytes, messages, minRate, isEnforced, connections } = limits
  const all: Array<[isOn: number, MeteredLimit]> = [
    [0, { limit: 'connections', action: 'close', isEnforced: isEnforced || connections === null }],
    [connectionsPerClient.max, { limit: 'connectionsPerClient', action: 'close', isEnforced }],
    [
      newConnections.perSec,
      { limit: 'newConnections', action: newConnections.onExceed, isEnforced: newConnections.isEnforced },
    ],
    [bytes.perSec, { limit: 'bytes', action: bytes.onExceed, isEnforced: bytes.isEnforced }],
    [
      protocol === 'http' ? messages.perSec : Number.POSITIVE_INFINITY,
      { limit: 'messages', action: messages.onExceed, isEnforced: messages.isEnforced },
    ],
    [minRate.bytesPerSec, { limit: 'minRate', action: 'close', isEnforced: minRate.isEnforced }],
  ]
  return all.filter(([perSec]) => Number.isFinite(perSec)).map(([, limit]) => limit)
}

/** The limits of a listener as the metrics show them; `processLimit` is that of GateContext. */
export function meteredListener(
  config: ListenerConfig,
  process: { processLimit: { max: number } },
): MeteredListener {
  const { name, protocol, buffers } = config
  return {
    name,
    protocols:
      protocol === 'tcp' ? ['tcp'] : ['http', 'websocket', ...(speaksHttp2(config) ? ['h2' as const] : [])],
    maxConnections: maxConnections(config, process),
    bufferHighBytes: buffers.highBytes,
    limits: meteredLimits(config),
  }
}
