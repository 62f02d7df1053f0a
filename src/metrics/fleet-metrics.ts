// The metrics of a gate with limits of the whole fleet. The series exist only where there are such limits.

import type { Registry } from './prom-client.ts'
import { createFleetInstruments } from './fleet-instruments.ts'
import type { FleetInstruments } from './fleet-instruments.ts'

export class FleetMetrics {
  readonly #registry: Registry
  readonly #instruments: FleetInstruments
  /** Requests by result; their batches, and the milliseconds until those were answered. */
  readonly requests = { ok: 0, timeout: 0, error: 0 }
  batches = 0
  answerMs = 0
  isUp = false
  gates = 1

  constructor(registry: Registry) {
    this.#registry = registry
    this.#instruments = createFleetInstruments(registry)
    for (const result of ['ok', 'timeout', 'error'] as const) this.#instruments.requests.inc({ result }, 0)
    this.#instruments.up.set(0)
    this.#instruments.gates.set(1)
  }

  /** Removes its series. */
  withdraw(): void {
    // The types of prom-client leave the names out.
    const all: unknown[] = Object.values(this.#instruments)
    for (const { name } of all as Array<{ name: string }>) this.#registry.removeSingleMetric(name)
  }

  onUp(): void {
    this.isUp = true
    this.#instruments.up.set(1)
  }

  onDown(): void {
    this.isUp = false
    this.#instruments.up.set(0)
  }

  onGates(gates: number): void {
    this.gates = gates
    this.#instruments.gates.set(gates)
  }

  onRequests(count: number, result: 'ok' | 'timeout' | 'error', ms: number): void {
    this.requests[result] += count
    this.batches++
    this.answerMs += ms
    this.#instruments.requests.inc({ result }, count)
    this.#instruments.duration.observe({}, ms / 1000)
  }

  onDrawn(ms: number): void {
    this.#instruments.lease.observe({}, ms / 1000)
  }
}
