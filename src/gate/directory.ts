// The directory of one gate's live connections: lists, describes and ends them, with plain data out and a
// slice of work at a time.

import type { ConnectionQuery, RowsQuery } from '../admin/connection-query.ts'
import type { ConnectionCounts, ConnectionDetail, ConnectionRow, Ended } from '../admin/types.ts'
import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Connection, Registry } from '../core/connection.ts'
import { ConnectionRates } from './connection-rates.ts'
import { viewClose, viewConnection, viewConnectionInFull, viewWait } from './connection-view.ts'
import type { CloseOrder, Listed } from './messages.ts'
import { selectConnections } from './selection.ts'

export class Directory {
  readonly #clock: Clock
  readonly #registry: Registry
  readonly #rates: ConnectionRates
  readonly #drainOverAt: () => number | null

  /** `drainOverAt` is when a drain resets what is left; null without one. */
  constructor(clock: Clock, registry: Registry, drainOverAt: () => number | null) {
    this.#clock = clock
    this.#registry = registry
    this.#rates = new ConnectionRates(clock, registry)
    this.#drainOverAt = drainOverAt
  }

  async list(query: ConnectionQuery): Promise<Listed> {
    await this.#rates.ask()
    const chosen = await selectConnections(this.#clock, this.#registry, query, this.#rates)
    // Each thread has its own monotonic clock; times of several threads are compared by the wall clock.
    const shift = query.sort === 'age' ? this.#clock.wall() - this.#clock.now() : 0
    return {
      ids: chosen.map(({ connection }) => connection.id),
      weights: chosen.map(({ weight }) => weight - shift),
    }
  }

  /** The rows of those that are still open. */
  rows({ ids, withWaits }: RowsQuery): ConnectionRow[] {
    const now = this.#clock.now()
    return ids.flatMap((id) => {
      const connection = this.#registry.get(id)
      if (connection === undefined) return []
      const row = viewConnection(connection, now, this.#rates.of(connection))
      return withWaits ? { ...row, wait: viewWait(connection, now, this.#drainOverAt()) } : row
    })
  }

  async describe(id: number): Promise<ConnectionDetail | null> {
    await this.#rates.ask()
    const connection = this.#registry.get(id)
    return connection === undefined
      ? null
      : viewConnectionInFull(connection, this.#clock, {
          rate: this.#rates.of(connection),
          drainOverAt: this.#drainOverAt(),
        })
  }

  /** A connection that is already ending ends sooner, and keeps its reason. */
  close({ which, reason }: CloseOrder): Ended[] {
    if (which === 'all') {
      for (const connection of [...this.#registry]) endBy(connection, reason)
      return []
    }
    return which.flatMap(({ id, detail }) => {
      const connection = this.#registry.get(id)
      if (connection === undefined) return []
      endBy(connection, reason, detail)
      return [killed(connection)]
    })
  }

  counts(): ConnectionCounts {
    const counts: ConnectionCounts = { connections: 0, phases: {}, protocols: {}, listeners: {} }
    for (const { phase, protocol, listener } of this.#registry) {
      counts.connections++
      counts.phases[phase] = (counts.phases[phase] ?? 0) + 1
      counts.protocols[protocol] = (counts.protocols[protocol] ?? 0) + 1
      counts.listeners[listener] = (counts.listeners[listener] ?? 0) + 1
    }
    return counts
  }

  /** Drops the samples of the rates. */
  stop(): void {
    this.#rates.forget()
  }
}

function endBy(connection: Connection, reason: CloseOrder['reason'], detail?: string): void {
  connection.owner?.close(makeClose(reason, 'sidegate', connection.phase, detail))
}

function killed({ id, listener, protocol, client, upstreamAddress, end }: Connection): Ended {
  return {
    id,
    listener,
    protocol,
    client: client.text,
    upstream: upstreamAddress,
    close: end === null ? null : viewClose(end),
  }
}
