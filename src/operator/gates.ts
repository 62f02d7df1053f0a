// All gates of the process as one: each gets every question and order, their answers become one, and an id
// says which gate has the connection. With one gate the messages are calls, in the turn of the question. A
// gate whose thread has ended, or hangs, answers nothing: the view consists of the others' answers and of the
// last known metrics of that gate, until a successor has taken its place and caught up.

import type { ConnectionQuery, RowsQuery } from '../admin/connection-query.ts'
import type { ProfileKind } from '../admin/profiler.ts'
import type { Directory } from '../admin/connection-routes.ts'
import type { ConnectionCounts, ConnectionDetail, ConnectionRow, Ended, RecentEnd } from '../admin/types.ts'
import type { RecentQuery } from '../admin/recent-route.ts'
import type { Config } from '../config/schema.ts'
import type { Reason } from '../core/close.ts'
import { ConfigError } from '../core/errors.ts'
import type { Written } from '../core/errors.ts'
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
import type { GateMemory, Queue } from '../overload/queues.ts'
import { Findings } from '../upstream/findings.ts'
import type { Finding } from '../upstream/finding.ts'
import { mergedViews } from './views.ts'

/** A gate, and its number of open connections, which is known without a question. */
export interface OpenGate {
  port: GatePort
  readonly open: number
  /** It has not answered for seconds. */
  readonly isSilent?: boolean
}

export class Gates implements Directory, DrainGates, OverloadGates {
  /** By number; null in the place of one that has ended. */
  readonly #gates: Array<OpenGate | null> = []
  /** The configuration that all must follow. */
  #config: Config | null = null
  /** Where the keys of its files stand; null where it is from no file. */
  #written: Written | null = null
  #ports: Ports = []
  #level: StrainLevel | null = null
  #isAnnounced = false
  /** The findings about upstream addresses, for a gate that joins. */
  readonly #findings = new Findings()
  /** Only one configuration at a time is prepared and committed. */
  #applying: Promise<unknown> = Promise.resolve()
  /** The last metrics of each gate; and those that ended gates have left. */
  readonly #shown: MetricRows[] = []
  #left: MetricRows = []

  /** Called before a configuration is applied. */
  add(worker: number, gate: OpenGate): void {
    this.#gates[worker] = gate
    // A gate that ends before it gets this has nothing to shed.
    if (this.#level !== null) gate.port.strain(this.#level).catch(() => {})
  }

  /** The gate replaces one that has ended; it answers once it serves the same configuration as the others. */
  join(worker: number, gate: OpenGate): Promise<void> {
    return this.#alone(async () => {
      await gate.port.learn(this.#findings.all)
      await prepare(gate.port, { config: this.#config!, ports: this.#ports, written: this.#written })
      await gate.port.commit()
      if (this.#isAnnounced) await gate.port.drain({ step: 'announce' })
      this.add(worker, gate)
      // With the findings made meanwhile.
      await gate.port.learn(this.#findings.all)
    })
  }

  /** The gate's thread has ended: keeps the counts that it last reported. */
  remove(worker: number): void {
    this.#gates[worker] = null
    this.#left = merged([this.#left, leftBehind(this.#shown[worker] ?? [])])
    this.#shown[worker] = []
  }

  /** Passes one gate's finding about an address on to the others. */
  onFound(worker: number, finding: Finding): void {
    this.#findings.learn(finding)
    void this.#each(async (gate, other) => {
      if (other !== worker) await gate.learn([finding])
    })
  }

  get open(): number {
    return this.#gates.reduce((sum, gate) => sum + (gate?.open ?? 0), 0)
  }

  /** The numbers of those that do not answer now. */
  get silent(): number[] {
    return this.#gates.flatMap((gate, worker) => (gate?.isSilent === true ? [worker] : []))
  }

  /**
   * Swaps every gate to `config`. Rejects with a ConfigError, or with the error of `check`, which runs once
   * all are prepared; then all stay as they were. Resolves with the bound ports.
   */
  apply(config: Config, check: () => void, written: Written | null = null): Promise<Ports> {
    return this.#alone(async () => {
      let ports: Ports | null = null
      try {
        for (const gate of this.#gates) {
          if (gate === null) continue
          const own = await prepare(gate.port, { config, ports, written })
          ports = own.map((port, index) => port ?? ports?.[index] ?? null)
        }
        check()
      } catch (error) {
        await this.#each((gate) => gate.abandon())
        throw error instanceof Gone ? new ReloadRefused('a worker has ended meanwhile, try again') : error
      }
      this.#config = config
      this.#written = written
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

  describe(id: number): Promise<ConnectionDetail | 'silent' | null> {
    return this.#ask<ConnectionDetail | null>(id, (gate) => gate.describe(id), null)
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

  async kill(id: number): Promise<Ended | 'silent' | null> {
    const order: CloseOrder = { reason: 'killed', which: [{ id, detail: 'by an operator' }] }
    const ended = await this.#ask<Ended[]>(id, (gate) => gate.close(order), [])
    return ended === 'silent' ? ended : (ended[0] ?? null)
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
      // A gate that has ended meanwhile was counted with its last metrics.
      if (this.#gates[worker]?.port === gate) this.#shown[worker] = rows
      return rows
    } catch (error) {
      // A gate that hangs keeps its last metrics: a counter that vanishes for a while would look like a reset
      // one.
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

  /** Null where that gate has ended, or does not answer. */
  async profile(worker: number, order: { kind: ProfileKind; seconds: number }): Promise<string | null> {
    const profile = await this.#ask<string | null>(worker, (gate) => gate.profile(order), null)
    return profile === 'silent' ? null : profile
  }

  async memory(): Promise<GateMemory> {
    const parts = await this.#each((gate) => gate.memory())
    return {
      queuedBytes: parts.reduce((sum, { queuedBytes }) => sum + queuedBytes, 0),
      heapShare: Math.max(0, ...parts.map(({ heapShare }) => heapShare)),
    }
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

  /** The answers of the living gates, in order; a gate that ends before it answers is left out. */
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

  /** `otherwise` where that gate has ended. */
  async #ask<T>(id: number, ask: (gate: GatePort) => Promise<T>, otherwise: T): Promise<T | 'silent'> {
    const worker = id % this.#gates.length
    const gate = this.#gates[worker]
    if (gate === null || gate === undefined) return otherwise
    return ask(gate.port).catch((error: unknown) => {
      if (!(error instanceof Gone)) throw error
      return this.#gates[worker] === gate ? 'silent' : otherwise
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
