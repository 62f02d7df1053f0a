// The metrics of each worker, where there are several: whether connections and work are shared out evenly.

import { LoopDelay } from './loop-delay.ts'
import { Counter, Gauge } from './prom-client.ts'
import type { Registry } from './prom-client.ts'
import { mirror } from './tally.ts'

export class WorkerMetrics {
  readonly #worker: string
  readonly #delay = new LoopDelay()
  readonly #lag
  readonly #connections
  readonly #showCpu: (total: number) => void

  constructor(registry: Registry, worker: number) {
    const registers = [registry]
    const labelNames = ['worker'] as const
    this.#worker = String(worker)
    this.#lag = new Gauge({
      name: 'sidegate_worker_eventloop_lag_p99_seconds',
      help: '99th percentile of the delay of the event loop of each worker since the last scrape; only where workers is more than 1. nodejs_eventloop_lag_* are those of the thread beside them.',
      labelNames,
      registers,
    })
    this.#connections = new Gauge({
      name: 'sidegate_worker_connections',
      help: 'Open connections of each worker; only where workers is more than 1.',
      labelNames,
      registers,
    })
    const cpu = new Counter({
      name: 'sidegate_worker_cpu_seconds_total',
      help: 'CPU time of each worker, in user mode and in the kernel; only where workers is more than 1.',
      labelNames,
      registers,
    })
    this.#showCpu = mirror(cpu, { worker: this.#worker })
  }

  show(connections: number): void {
    const { user, system } = process.threadCpuUsage()
    this.#showCpu((user + system) / 1e6)
    this.#connections.set({ worker: this.#worker }, connections)
    this.#lag.set({ worker: this.#worker }, this.#delay.read().p99)
  }

  /** Stops the sampling of the event loop. */
  stop(): void {
    this.#delay.stop()
  }
}
