// The upstreams that reloads make of one listener, one after another: connections stay with the upstream that
// they came to, while newcomers go to its successor. Both fill the same places, so they share what decides
// about these: the bound of the configuration that holds now, and one queue. A bound that each kept for
// itself would leave a place to newcomers that clients of before the reload have waited for.

import type { Cells } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'
import { Queue } from './queue.ts'

export interface LineageContext {
  clock: Clock
  /** Where places are counted; without it in this thread alone. */
  cells?: Cells
}

export class Lineage {
  readonly queue: Queue
  /** For each address; Infinity is off. */
  #maxConnections: number

  constructor(context: LineageContext & { name: string }, maxConnections: number) {
    this.queue = new Queue(context)
    this.#maxConnections = maxConnections
  }

  get maxConnections(): number {
    return this.#maxConnections
  }

  /** Serves those that wait, where there is more room now. */
  settle(maxConnections: number): void {
    const isRaised = maxConnections > this.#maxConnections
    this.#maxConnections = maxConnections
    if (isRaised) this.queue.serveInTurn()
  }
}

/** By the name of the listener, as long as one of its upstreams runs. */
export class Lineages {
  readonly #context: LineageContext
  readonly #known = new Map<string, { lineage: Lineage; users: number }>()

  constructor(context: LineageContext) {
    this.#context = context
  }

  /** `maxConnections` is for the first of the name; `settle` changes it. Each user that joins leaves once. */
  join(name: string, maxConnections: number): Lineage {
    let known = this.#known.get(name)
    if (known === undefined) {
      known = { lineage: new Lineage({ ...this.#context, name }, maxConnections), users: 0 }
      this.#known.set(name, known)
    }
    known.users++
    return known.lineage
  }

  leave(name: string): void {
    const known = this.#known.get(name)
    if (known !== undefined && --known.users === 0) this.#known.delete(name)
  }
}
