// The process_* and nodejs_* metrics that dashboards expect, by prom-client's names, chosen by their cost.
//
// prom-client's own collection samples the event loop every 10 ms (100 wake-ups a second in an idle sidecar),
// hooks every garbage collection (hundreds a second under load), lists every open handle by name, and counts
// descriptors by listing a directory, which fails just when they have run out.

import { readdirSync, statSync } from 'node:fs'
import { descriptorLimit } from '../lifecycle/descriptors.ts'
import { LoopDelay } from './loop-delay.ts'
import { Counter, Gauge, type Registry } from './prom-client.ts'
import { mirror } from './tally.ts'

export class ProcessMetrics {
  readonly #loop = new LoopDelay()
  readonly #collectors: Array<() => void>

  constructor(registry: Registry) {
    this.#collectors = [
      cpu(registry),
      memory(registry),
      descriptors(registry),
      eventLoop(registry, this.#loop),
    ]
    gauge(registry, 'process_start_time_seconds', 'Start of the process, in seconds since 1970.').set(
      Math.round(performance.timeOrigin / 1000),
    )
  }

  collect(): void {
    for (const collect of this.#collectors) collect()
  }

  stop(): void {
    this.#loop.stop()
  }
}

function gauge(registry: Registry, name: string, help: string): Gauge {
  return new Gauge({ name, help, registers: [registry] })
}

function counter(registry: Registry, name: string, help: string): (total: number) => void {
  return mirror(new Counter({ name, help, registers: [registry] }), {})
}

function cpu(registry: Registry): () => void {
  const user = counter(registry, 'process_cpu_user_seconds_total', 'CPU time in user mode.')
  const system = counter(registry, 'process_cpu_system_seconds_total', 'CPU time in the kernel.')
  const both = counter(registry, 'process_cpu_seconds_total', 'CPU time in user mode and in the kernel.')
  return () => {
    const usage = process.cpuUsage()
    user(usage.user / 1e6)
    system(usage.system / 1e6)
    both((usage.user + usage.system) / 1e6)
  }
}

function memory(registry: Registry): () => void {
  const resident = gauge(registry, 'process_resident_memory_bytes', 'Resident memory.')
  const heapTotal = gauge(registry, 'nodejs_heap_size_total_bytes', 'Size of the JavaScript heap.')
  const heapUsed = gauge(registry, 'nodejs_heap_size_used_bytes', 'Used part of the JavaScript heap.')
  const external = gauge(
    registry,
    'nodejs_external_memory_bytes',
    'Memory outside the heap that JavaScript objects hold: buffers.',
  )
  return () => {
    const usage = readMemory()
    if (usage === null) return
    resident.set(usage.rss)
    heapTotal.set(usage.heapTotal)
    heapUsed.set(usage.heapUsed)
    external.set(usage.external)
  }
}

/** Null if no descriptor is left, because reading needs one: the last figures stay. */
function readMemory(): NodeJS.MemoryUsage | null {
  try {
    return process.memoryUsage()
  } catch {
    return null
  }
}

function descriptors(registry: Registry): () => void {
  const open = gauge(registry, 'process_open_fds', 'Open file descriptors.')
  const limit = descriptorLimit()
  if (limit !== null) gauge(registry, 'process_max_fds', 'Limit of open file descriptors.').set(limit)
  return () => {
    const count = countDescriptors()
    if (count !== null) open.set(count)
  }
}

/** Null where it is unknown: no /proc, or an old kernel without a descriptor left to list the directory. */
function countDescriptors(): number | null {
  try {
    // Linux 6.2 and later report the number as the size of the directory, without a descriptor and without
    // 20,000 names.
    const size = statSync('/proc/self/fd').size
    return size > 0 ? size : readdirSync('/proc/self/fd').length - 1
  } catch {
    return null
  }
}

function eventLoop(registry: Registry, delay: LoopDelay): () => void {
  const p50 = gauge(
    registry,
    'nodejs_eventloop_lag_p50_seconds',
    'Median delay of the event loop since the last scrape.',
  )
  const p99 = gauge(
    registry,
    'nodejs_eventloop_lag_p99_seconds',
    '99th percentile of the delay of the event loop since the last scrape.',
  )
  const max = gauge(
    registry,
    'nodejs_eventloop_lag_max_seconds',
    'Longest delay of the event loop since the last scrape.',
  )
  return () => {
    const reading = delay.read()
    p50.set(reading.p50)
    p99.set(reading.p99)
    max.set(reading.max)
  }
}
