// One data plane: a Config to listeners and all that a connection touches. It knows no server and no signal,
// and of files only its certificates; its questions and answers go through messages.ts. Besides
// listener-runtime.ts, which wires one listener, it is the only file that knows every folder of the path.

import { Refusals } from '../admission/refusal.ts'
import type { ConnectionQuery, RowsQuery } from '../admin/connection-query.ts'
import { Profiler } from '../admin/profiler.ts'
import type { ProfileKind } from '../admin/profiler.ts'
import type { ConnectionCounts, ConnectionDetail, ConnectionRow, Ended, RecentEnd } from '../admin/types.ts'
import type { RecentQuery } from '../admin/recent-route.ts'
import type { Config } from '../config/schema.ts'
import { Sweep, Sweeps } from '../core/clock.ts'
import type { Clock } from '../core/clock.ts'
import { Registry } from '../core/connection.ts'
import type { Connection } from '../core/connection.ts'
import { ConfigError } from '../core/errors.ts'
import type { Pulse } from '../core/pulse.ts'
import { Claims } from '../core/claims.ts'
import { Budget, calm, impose } from '../core/strain.ts'
import type { Strain, StrainLevel } from '../core/strain.ts'
import { Departure } from '../lifecycle/departure.ts'
import type { DrainCounts, DrainStep } from '../lifecycle/departure.ts'
import { localCells } from '../limits/cells.ts'
import { LastingCells } from '../limits/lasting-cells.ts'
import { TokenQueue } from '../limits/token-queue.ts'
import { ConnectionLimit } from '../limits/places.ts'
import { attach } from '../limits/shared-cells.ts'
import type { SharedCells } from '../limits/shared-cells.ts'
import { CLAIMS_SUM, EARLY_SUM } from '../limits/shared-memory.ts'
import { Log } from '../log/log.ts'
import { Rejections } from '../log/rejections.ts'
import { GateMetrics } from '../metrics/gate-metrics.ts'
import { Habits, HabitsObserver } from '../metrics/habits.ts'
import type { HabitsData } from '../metrics/habits.ts'
import type { Figure } from '../metrics/history.ts'
import type { MetricRows } from '../metrics/metric-rows.ts'
import { collectGarbage } from '../overload/heap.ts'
import { HeapGauge } from '../overload/heap-gauge.ts'
import { queuedBytes, queuesOf } from '../overload/queues.ts'
import type { GateMemory, Queue } from '../overload/queues.ts'
import { Findings } from '../upstream/findings.ts'
import type { Finding } from '../upstream/finding.ts'
import { IdleEnds } from '../upstream/idle-ends.ts'
import { Lineages } from '../upstream/lineage.ts'
import { Names } from '../upstream/names.ts'
import type { NameOptions } from '../upstream/names.ts'
import { Directory } from './directory.ts'
import { ListenerSet } from './listener-set.ts'
import type {
  CloseOrder,
  GateEvents,
  GatePort,
  GateSettings,
  GateViews,
  Listed,
  LogSettings,
  Ports,
  PrepareOrder,
  Unprepared,
} from './messages.ts'
import { Recent } from './recent.ts'
import { closingConnections } from './selection.ts'
import { meteredListener } from './limits-runtime.ts'
import { makeFleet } from './fleet-runtime.ts'
import type { FleetRuntime } from './fleet-runtime.ts'
import type { GateContext } from './gate-context.ts'

/** The parts of its thread that a gate uses. */
export interface GateParts {
  clock: Clock
  /** 0..1. */
  random: () => number
  /** How names of upstreams are resolved. */
  names: NameOptions
  events: GateEvents
  /** Shows other threads how this one is doing. */
  pulse?: Pulse
}

export class Gate implements GatePort {
  readonly registry: Registry
  readonly #clock: Clock
  readonly #log: Log
  readonly #metrics: GateMetrics
  /** Null: limits count for this gate alone. */
  readonly #cells: SharedCells | null
  readonly #strain: Strain
  readonly #departure: Departure
  readonly #directory: Directory
  readonly #recent: Recent
  /** By listener; a reload changes none of them. */
  readonly #observers = new Map<string, HabitsObserver>()
  readonly #shared: GateContext
  readonly #listeners: ListenerSet
  /** Limits that all gates share; null where none are configured. */
  #fleet: FleetRuntime | null = null
  /** The group name that replaces listener names in the fleet, if any. */
  #group: string | null = null
  /** What `commit` puts into effect. */
  #next: (Omit<PrepareOrder, 'ports'> & { fleet: FleetRuntime | null }) | null = null

  constructor(settings: GateSettings, parts: GateParts) {
    const { clock, random, events } = parts
    this.#clock = clock
    const { memory, worker } = settings
    this.#cells = memory === undefined ? null : attach(memory, worker, clock.now())
    this.#strain = calm(
      new Budget(this.#cells?.sum(EARLY_SUM)),
      new Claims(this.#cells?.sum(CLAIMS_SUM), clock),
      new HeapGauge(clock),
    )
    this.registry = new Registry(settings.worker, settings.workers, parts.pulse)
    this.registry.onArrived = () => this.#departure.onArrived()
    this.registry.onAdded = (connection) => this.#observerOf(connection.listener).habits.onBegun(connection)
    this.#log = new Log({ writer: { write: (line) => events.log(line) }, clock, ...settings.log })
    this.#departure = new Departure({
      clock,
      random,
      registry: this.registry,
      stopAccepting: () => this.#listeners.close(),
      refuseArriving: (reason) => this.#listeners.refuseArriving(reason),
      onEmpty: () => events.empty(),
    })
    this.#directory = new Directory(clock, this.registry, () => this.#departure.overAt)
    this.#recent = new Recent(clock, settings.config.admin.recent)
    this.#metrics = this.#makeMetrics(settings)
    this.#shared = this.#sharedParts(settings, parts)
    this.#listeners = new ListenerSet(this.#shared)
  }

  #makeMetrics({ config, fits, worker, workers }: GateSettings): GateMetrics {
    return new GateMetrics({
      worker: workers === 1 ? null : worker,
      listeners: config.listeners.map((one) => meteredListener(one, { processLimit: { max: fits } })),
      registry: this.registry,
      clock: this.#clock,
      drainCut: () => this.#departure.totalCut,
      arriving: () => this.#listeners.arriving,
      upstreams: () => this.#listeners.current.map(({ upstream }) => upstream.counts),
      certificates: () => this.#listeners.current.flatMap(({ certificates }) => [...certificates]),
    })
  }

  #sharedParts(
    { worker, workers, config, fits, usesSharedBuffer }: GateSettings,
    { random, names, events }: GateParts,
  ): GateContext {
    const clock = this.#clock
    const log = this.#log
    const cells = this.#cells ?? localCells
    const findings = this.#cells === null ? new Findings() : new Findings((finding) => events.found(finding))
    return {
      clock,
      sweeps: new Sweeps(clock),
      tokenQueue: new TokenQueue(clock),
      random,
      registry: this.registry,
      metrics: this.#metrics,
      observerOf: (listener) => this.#observerOf(listener),
      log,
      facts: worker === 0 ? log : { info() {}, warn() {} },
      refusals: new Refusals(clock, new Sweep(clock), cells.count('refusals')),
      rejections: new Rejections(log, clock, (listener, ...refusal) =>
        this.#recent.onRefused(listener, ...refusal),
      ),
      names: new Names(names, clock, random),
      idleEnds: new IdleEnds({ findings, clock }),
      findings,
      worker,
      workers,
      usesSharedBuffer,
      strain: this.#strain,
      cells,
      lineages: new Lineages({ clock, cells: this.#cells ?? new LastingCells() }),
      fleet: null,
      processLimit: new ConnectionLimit(fits, null, { count: cells.count('process') }),
      logsRequests: config.log.requests,
      written: null,
      isDraining: () => this.#departure.isUnderway,
      onAdmitted: (connection) => this.#departure.onAdmitted(connection),
      onClosed: (connection) => this.#onClosed(connection),
    }
  }

  #onClosed(connection: Connection): void {
    this.registry.delete(connection)
    this.#metrics.onClosed(connection)
    this.#observers.get(connection.listener)?.habits.onClosed(connection)
    this.#recent.onClosed(connection)
    this.#log.connection(connection, this.#clock.now())
    this.#departure.onClosed(connection)
  }

  async prepare({ config, ports: wanted, written }: PrepareOrder): Promise<Ports | Unprepared> {
    try {
      const fleet = await this.#fleetOf(config)
      const ports = await this.#listeners.prepare(config, wanted)
      this.#next = { config, fleet, written }
      return ports
    } catch (error) {
      this.#countIn(this.#fleet, this.#group)
      if (!(error instanceof ConfigError)) throw error
      return { file: error.file, problems: error.problems }
    }
  }

  /** Listeners made from here on count in the returned fleet. A new one reports nothing before `start`. */
  async #fleetOf({ shared }: Config): Promise<FleetRuntime | null> {
    const fleet = shared === null ? null : (this.#fleet ?? (await makeFleet(shared, this.#shared)))
    this.#countIn(fleet, shared?.group ?? null)
    return fleet
  }

  #countIn(fleet: FleetRuntime | null, group: string | null): void {
    this.#shared.fleet = fleet && { cells: fleet.cells, group }
  }

  commit(): Promise<void> {
    const { config, fleet, written } = this.#next!
    this.#shared.written = written
    const committed = this.#listeners.commit()
    this.#shared.logsRequests = config.log.requests
    if (fleet === this.#fleet && config.shared !== null) fleet?.turnTo(config.shared)
    if (fleet !== this.#fleet) {
      void this.#fleet?.stop()
      fleet?.start()
    }
    this.#fleet = fleet
    this.#group = config.shared?.group ?? null
    return committed
  }

  abandon(): Promise<void> {
    this.#countIn(this.#fleet, this.#group)
    return this.#listeners.abandon()
  }

  list(query: ConnectionQuery): Promise<Listed> {
    return this.#directory.list(query)
  }

  async rows(query: RowsQuery): Promise<ConnectionRow[]> {
    return this.#directory.rows(query)
  }

  describe(id: number): Promise<ConnectionDetail | null> {
    return this.#directory.describe(id)
  }

  async recent(query: RecentQuery): Promise<RecentEnd[]> {
    return this.#recent.view(query, await closingConnections(this.#clock, this.registry))
  }

  #observerOf(listener: string): HabitsObserver {
    let observer = this.#observers.get(listener)
    if (observer === undefined) {
      observer = new HabitsObserver(new Habits(listener, this.#clock), this.#metrics, this.#clock)
      this.#observers.set(listener, observer)
    }
    return observer
  }

  async habits(): Promise<HabitsData[]> {
    return [...this.#observers.values()].map(({ habits }) => habits.data(this.registry))
  }

  forgetHabits(): Promise<void> {
    for (const { habits } of this.#observers.values()) habits.reset()
    return done
  }

  async close(order: CloseOrder): Promise<Ended[]> {
    return this.#directory.close(order)
  }

  async counts(): Promise<ConnectionCounts> {
    return this.#directory.counts()
  }

  metrics(): Promise<MetricRows> {
    return this.#metrics.rows()
  }

  async figures(): Promise<Figure[]> {
    return this.#metrics.figures()
  }

  async views(): Promise<GateViews> {
    const { current } = this.#listeners
    return {
      upstreams: current.map(({ upstream }) => upstream.view),
      shared: this.#fleet?.view ?? null,
    }
  }

  async profile({ kind, seconds }: { kind: ProfileKind; seconds: number }): Promise<string> {
    // Nothing aborts the profile early.
    return (await new Profiler(this.#clock).profile(kind, seconds, new AbortController().signal))!
  }

  async memory(): Promise<GateMemory> {
    return { queuedBytes: queuedBytes(this.registry), heapShare: this.#strain.heap.read() }
  }

  async queues(): Promise<Queue[]> {
    return queuesOf(this.registry, this.#clock.now())
  }

  async drain(step: DrainStep): Promise<DrainCounts> {
    if (step.step === 'part') await this.#listeners.catchUp()
    return this.#departure.take(step)
  }

  strain(level: StrainLevel): Promise<void> {
    impose(this.#strain, level)
    return done
  }

  learn(findings: readonly Finding[]): Promise<void> {
    for (const finding of findings) this.#shared.findings.learn(finding)
    return done
  }

  collectGarbage(): Promise<void> {
    collectGarbage()
    return done
  }

  log(settings: LogSettings): Promise<void> {
    Object.assign(this.#log, settings)
    return done
  }

  async stop(): Promise<void> {
    this.#departure.stop()
    this.#listeners.close()
    this.#directory.close({ which: 'all', reason: 'drain_timeout' })
    this.#listeners.retire()
    this.#directory.stop()
    this.#metrics.stop()
    await this.#fleet?.stop()
  }
}

const done = Promise.resolve()
