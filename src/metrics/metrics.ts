// The metrics of the process for Prometheus: the sums over its gates, and the figures of the whole process.

import { Registry as PromRegistry } from './prom-client.ts'
import { memoryFigures, mergedFigures } from './figures.ts'
import type { Figure } from './history.ts'
import { createProcessInstruments, type ProcessInstruments } from './instruments.ts'
import { merged, rowsOf, textOf, type MetricRows } from './metric-rows.ts'
import { ProcessMetrics } from './process-metrics.ts'
import { mirror } from './tally.ts'

export interface MetricsOptions {
  version: string
  revision: string
  /** The counts of each gate. */
  gates: () => Promise<readonly MetricRows[]>
  gateFigures: () => Promise<readonly Figure[][]>
  isDraining?: () => boolean
  config?: () => ConfigState
  logLinesDropped?: () => number
  workersEnded?: () => number
  overload?: () => { pressure: number; limitBytes: number; usageBytes: number; bufferedLimitBytes: number }
}

/** The results of configuration reloads; times are wall-clock milliseconds. */
export interface ConfigState {
  readonly hash: string
  readonly succeededAt: number
  readonly successes: number
  readonly failures: number
  readonly fault: object | null
  readonly restartRequired: readonly string[]
}

export interface RenderedMetrics {
  contentType: string
  body: string
}

export class Metrics {
  readonly #options: MetricsOptions
  readonly #prom = new PromRegistry()
  readonly #instruments: ProcessInstruments = createProcessInstruments(this.#prom)
  readonly #process = new ProcessMetrics(this.#prom)
  readonly #showLogLinesDropped: (total: number) => void
  readonly #showWorkersEnded: (total: number) => void
  readonly #showReloads: { success: (total: number) => void; failure: (total: number) => void }

  constructor(options: MetricsOptions) {
    this.#options = options
    const { build, logLinesDropped, workersEnded, configReloads, adminRefused } = this.#instruments
    build.set({ version: options.version, revision: options.revision, node_version: process.version }, 1)
    for (const reason of ['no_token', 'wrong_token'] as const) adminRefused.inc({ reason }, 0)
    this.#showLogLinesDropped = mirror(logLinesDropped, {})
    this.#showWorkersEnded = mirror(workersEnded, {})
    this.#showReloads = {
      success: mirror(configReloads, { result: 'success' }),
      failure: mirror(configReloads, { result: 'failure' }),
    }
  }

  /** A request to the admin server had no token, or a wrong one. */
  onAdminRefused(reason: 'no_token' | 'wrong_token'): void {
    this.#instruments.adminRefused.inc({ reason })
  }

  /** All metrics as text. The figures of one gate are of one moment. */
  async render(): Promise<RenderedMetrics> {
    const gates = await this.#options.gates()
    this.#show()
    this.#process.collect()
    const rows = [...merged(gates), ...(await rowsOf(this.#prom))]
    return { contentType: this.#prom.contentType, body: await textOf(rows) }
  }

  /** The present figures for the history. */
  async figures(): Promise<Figure[]> {
    const gates = await this.#options.gateFigures()
    return [...mergedFigures(gates), ...memoryFigures(this.#options.overload?.())]
  }

  /** Stops the sampling of the event loop. */
  stop(): void {
    this.#process.stop()
  }

  #show(): void {
    this.#showOverload()
    this.#instruments.draining.set(this.#options.isDraining?.() === true ? 1 : 0)
    this.#showLogLinesDropped(this.#options.logLinesDropped?.() ?? 0)
    this.#showWorkersEnded(this.#options.workersEnded?.() ?? 0)
    const config = this.#options.config?.()
    if (config !== undefined) this.#showConfig(config)
  }

  #showConfig({ hash, succeededAt, successes, failures, fault, restartRequired }: ConfigState): void {
    const { configSuccessful, configSuccessAt, configInfo, configRestartRequired } = this.#instruments
    configSuccessful.set(fault === null ? 1 : 0)
    configSuccessAt.set(succeededAt / 1000)
    configRestartRequired.set(restartRequired.length > 0 ? 1 : 0)
    // Otherwise the series of the previous hash would stay at 1.
    configInfo.reset()
    configInfo.set({ hash }, 1)
    this.#showReloads.success(successes)
    this.#showReloads.failure(failures)
  }

  #showOverload(): void {
    const view = this.#options.overload?.()
    if (view === undefined) return
    const { overloadPressure, memoryLimit, memoryUsage, bufferedLimit } = this.#instruments
    overloadPressure.set(view.pressure)
    memoryLimit.set(view.limitBytes)
    memoryUsage.set(view.usageBytes)
    bufferedLimit.set(view.bufferedLimitBytes)
  }
}
