// All gates of the process as one: questions go to each and their answers become one, orders go to each, and an id says which gate has
// the connection. With one gate the messages are calls, in the turn that asks. A gate whose thread has ended, or hangs, answers nothing: what there
// is is what the others tell, and what it has shown of its metrics, until another one has taken its place and holds to all that they were told.

import type { ConnectionQuery, RowsQuery } from '../admin/connection-query.ts'
import type { ProfileKind } from '../admin/profiler.ts'
import type { Directory } from '../admin/connection-routes.ts'
import type { ConnectionCounts, ConnectionDetail, ConnectionRow, Ended, RecentEnd } from '../admin/types.ts'
import type { RecentQuery } from '../admin/recent-route.ts'
import type { Config } from '../config/schema.ts'
import type { Reason } from '../core/close.ts'
import { ConfigError } from '../core/errors.ts'
import type { StrainLevel } from '../core/strain.ts'
import { Gone } from '../gate/channel.ts'
import type { CloseOrder, GatePort, GateViews, LogSettings, Ports, PrepareOrder } from '../gate/messages.ts'
import { noDrainCounts } from '../lifecycle/departure.ts'
import type { DrainCounts, DrainStep } from '../lifecycle/departure.ts'
import type { DrainGates } from '../lifecycle/drain.ts'
import { ReloadRefused } from '../lifecycle/reload.ts'
import { sumHabits } from '../metrics/habits.ts'
import type { HabitsData } from '../metrics/habits.ts'
import type { Figure } from '../metrics/history.ts'
import { leftBehind, merged } from '../metrics/metric-rows.ts'
import type { MetricRows } from '../metrics/metric-rows.ts'
import type { OverloadGates } from '../overload/overload.ts'
import type { Queue } from '../overload/queues.ts'
import { Findings } from '../upstream/findings.ts'
import type { Finding } from '../upstream/findings.ts'
import { mergedViews } from './views.ts'

/** A gate, and how many connections it has open: a number that is there without a question. */
export interface OpenGate {
  port: GatePort
  readonly open: number
}

export class Gates implements Directory, DrainGates, OverloadGates {
  /** By number; null in the place of one that has ended. */
  readonly #gates: Array<OpenGate | null> = []
  /** The configuration that all must follow. */
  #config: Config | null = null
  #ports: Ports = []
  #level: StrainLevel | null = null
  #isAnnounced = false
  /** Of addresses of upstreams, for a gate that joins. */
  readonly #findings = new Findings()
  /** A configuration that is prepared and committed goes on alone. */
  #applying: Promise<unknown> = Promise.resolve()
  /** Of each, as shown last; and what those that have ended left. */
  readonly #shown: MetricRows[] = []
  #left: MetricRows = []

  /** Before a configuration is applied. */
  add(worker: number, gate: OpenGate): void {
    this.#gates[worker] = gate
    // Where it ends before it has heard of it, nobody is strained.
    if (this.#level !== null) gate.port.strain(this.#level).catch(() => {})
  }

  /** In the place of one that has ended; it answers once it serves what the others do. */
  join(worker: number, gate: OpenGate): Promise<void> {
    return this.#alone(async () => {
      await gate.port.learn(this.#findings.all)
      await prepare(gate.port, { config: this.#config!, ports: this.#ports })
      await gate.port.commit()
      if (this.#isAnnounced) await gate.port.drain({ step: 'announce' })
      this.add(worker, gate)
      // Whatever was found meanwhile.
      await gate.port.learn(this.#findings.all)
    })
  }

  /** Its thread has ended: what it counted is kept, as far as it was shown. */
  remove(worker: number): void {
    this.#gates[worker] = null
    this.#left = merged([this.#left, leftBehind(this.#shown[worker] ?? [])])
    this.#shown[worker] = []
  }

  /** One of them knows something of an address: so do the others. */
  onFound(worker: number, finding: Finding): void {
    this.#findings.learn(finding)
    void this.#each(async (gate, other) => {
      if (other !== worker) await gate.learn([finding])
    })
  }

  get open(): number {
    return this.#gates.reduce((sum, gate) => sum + (gate?.open ?? 0), 0)
  }

  /**
   * Swaps every gate to `config`, or rejects with a ConfigError, or with what `check` throws once all are prepared, and leaves all as they
   * were. Resolves with the ports as bound.
   */
  apply(config: Config, check: () => void): Promise<Ports> {
    return this.#alone(async () => {
      let ports: Ports | null = null
      try {
        for (const gate of this.#gates) {
          if (gate === null) continue
          const own = await prepare(gate.port, { config, ports })
          ports = own.map((port, index) => port ?? ports?.[index] ?? null)
        }
        check()
      } catch (error) {
        await this.#each((gate) => gate.abandon())
        throw error instanceof Gone ? new ReloadRefused('a worker has ended meanwhile, try again') : error
      }
      this.#config = config
      this.#ports = ports ?? this.#ports
      await this.#each((gate) => gate.commit())
      return this.#ports
    })
  }

  #alone<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#applying.then(run, run)
    this.#applying = done.catch(() => {})
    return done
  }

  async list(query: ConnectionQuery): Promise<readonly number[]> {
    const listed = await this.#each((gate) => gate.list(query))
    if (listed.length === 1) return listed[0]!.ids
    return listed
      .flatMap(({ ids, weights }) => ids.map((id, index) => ({ id, weight: weights[index]! })))
      .sort((one, other) => other.weight - one.weight || one.id - other.id)
      .slice(0, query.limit)
      .map(({ id }) => id)
  }

  async rows({ ids, withWaits }: RowsQuery): Promise<ConnectionRow[]> {
    const parts = await this.#each((gate, worker) =>
      gate.rows({ ids: ids.filter((id) => this.#isOf(worker, id)), withWaits }),
    )
    if (parts.length === 1) return parts[0]!
    const rows = new Map(parts.flat().map((row) => [row.id, row]))
    return ids.flatMap((id) => rows.get(id) ?? [])
  }

  describe(id: number): Promise<ConnectionDetail | null> {
    return this.#ask(id, (gate) => gate.describe(id), null)
  }

  async recent(query: RecentQuery): Promise<RecentEnd[]> {
    const parts = await this.#each((gate) => gate.recent(query))
    if (parts.length === 1) return parts[0]!
    return parts
      .flat()
      .sort((one, other) => other.ended.localeCompare(one.ended))
      .slice(0, query.limit)
  }

  async habits(): Promise<HabitsData[]> {
    return sumHabits((await this.#each((gate) => gate.habits())).flat())
  }

  async forgetHabits(): Promise<void> {
    await this.#each((gate) => gate.forgetHabits())
  }

  async kill(id: number): Promise<Ended | null> {
    const order: CloseOrder = { reason: 'killed', which: [{ id, detail: 'by an operator' }] }
    return (await this.#ask(id, (gate) => gate.close(order), []))[0] ?? null
  }

  /** Ends every connection at once. */
  async reset(reason: Reason): Promise<void> {
    await this.#each((gate) => gate.close({ reason, which: 'all' }))
  }

  async counts(): Promise<ConnectionCounts> {
    const sum: ConnectionCounts = { connections: 0, phases: {}, protocols: {}, listeners: {} }
    for (const counts of await this.#each((gate) => gate.counts())) {
      sum.connections += counts.connections
      for (const key of ['phases', 'protocols', 'listeners'] as const) addTo(sum[key], counts[key])
    }
    return sum
  }

  async metrics(): Promise<MetricRows[]> {
    const shown = await this.#each((gate, worker) => this.#metricsOf(gate, worker))
    return this.#left.length === 0 ? shown : [...shown, this.#left]
  }

  async #metricsOf(gate: GatePort, worker: number): Promise<MetricRows> {
    try {
      const rows = await gate.metrics()
      // One that has ended meanwhile was counted with what it showed before.
      if (this.#gates[worker]?.port === gate) this.#shown[worker] = rows
      return rows
    } catch (error) {
      // One that hangs is shown as it was: a counter that is gone for a while would look like one that began anew.
      if (error instanceof Gone && this.#gates[worker]?.port === gate) return this.#shown[worker] ?? []
      throw error
    }
  }

  figures(): Promise<Figure[][]> {
    return this.#each((gate) => gate.figures())
  }

  async views(): Promise<GateViews> {
    const listeners = this.#config?.listeners ?? []
    return mergedViews(
      await this.#each((gate) => gate.views()),
      listeners.map(({ name }) => name),
    )
  }

  /** Null where that one has ended. */
  profile(worker: number, order: { kind: ProfileKind; seconds: number }): Promise<string | null> {
    return this.#ask<string | null>(worker, (gate) => gate.profile(order), null)
  }

  async queued(): Promise<number> {
    return (await this.#each((gate) => gate.queued())).reduce((sum, bytes) => sum + bytes, 0)
  }

  async queues(): Promise<Queue[]> {
    return (await this.#each((gate) => gate.queues())).flat()
  }

  shed(victims: ReadonlyArray<{ id: number; detail: string }>): void {
    void this.#each((gate, worker) =>
      gate.close({ reason: 'overloaded', which: victims.filter(({ id }) => this.#isOf(worker, id)) }),
    )
  }

  strain(level: StrainLevel): void {
    this.#level = level
    void this.#each((gate) => gate.strain(level))
  }

  collectGarbage(): void {
    void this.#each((gate) => gate.collectGarbage())
  }

  async drain(step: DrainStep): Promise<DrainCounts> {
    this.#isAnnounced = step.step !== 'undo'
    const sum = noDrainCounts()
    for (const counts of await this.#each((gate) => gate.drain(step))) addTo(sum, counts)
    return sum
  }

  log(settings: LogSettings): void {
    void this.#each((gate) => gate.log(settings))
  }

  async stop(): Promise<void> {
    await this.#each((gate) => gate.stop())
  }

  /** Of those that are there, in order; one that ends before it has answered is left out. */
  async #each<T>(ask: (gate: GatePort, worker: number) => Promise<T>): Promise<T[]> {
    const asked = this.#gates.flatMap((gate, worker) => (gate === null ? [] : [ask(gate.port, worker)]))
    if (this.#gates.length === 1) return Promise.all(asked)
    const answers = await Promise.allSettled(asked)
    return answers.flatMap((answer) => {
      if (answer.status === 'fulfilled') return [answer.value]
      if (answer.reason instanceof Gone) return []
      throw answer.reason
    })
  }

  async #ask<T>(id: number, ask: (gate: GatePort) => Promise<T>, otherwise: T): Promise<T> {
    const gate = this.#gates[id % this.#gates.length]
    if (gate === null || gate === undefined) return otherwise
    return ask(gate.port).catch((error: unknown) => {
      if (error instanceof Gone) return otherwise
      throw error
    })
  }

  #isOf(worker: number, id: number): boolean {
    return id % this.#gates.length === worker
  }
}

async function prepare(gate: GatePort, order: PrepareOrder): Promise<Ports> {
  const prepared = await gate.prepare(order)
  if (!Array.isArray(prepared)) throw new ConfigError(prepared.file, prepared.problems)
  return prepared
}

function addTo<K extends string>(sum: Record<K, number>, counts: Readonly<Record<K, number>>): void {
  for (const key in counts) sum[key] = (sum[key] ?? 0) + counts[key]
}
