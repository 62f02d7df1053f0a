// The options of a fleet, and its surroundings: the clock, the way to Redis, and the observer of both.

import type { Clock } from '../core/clock.ts'
import type { RequestResult } from './circuit.ts'
import type { Connect } from './store.ts'

export interface FleetOptions {
  prefix: string
  timeoutMs: number
  /** The behaviour of limits while Redis is away. */
  onUnavailable: 'local' | 'open' | 'closed'
  /** Names are not hashed. */
  plainKeys: boolean
}

export interface FleetContext {
  clock: Clock
  random: () => number
  connect: Connect
  observer: FleetObserver
}

export interface FleetObserver {
  onUp(gates: number): void
  onDown(problem: string): void
  /** The number of gates, perhaps unchanged. */
  onGates(gates: number): void
  onRequests(count: number, result: RequestResult, ms: number): void
  onDrawn(ms: number): void
}
