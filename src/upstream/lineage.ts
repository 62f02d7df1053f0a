// The upstreams that reloads make of one listener, one after another: connections stay with the upstream that
// they came to, while newcomers go to its successor. Both fill the same places, so they share what decides
// about these: the bound of the configuration that holds now, and one queue. A bound that each kept for
// itself would leave a place to newcomers that clients of before the reload have waited for.

import type { Cells } from '../core/cells.ts'
import type { Clock } from '../core/clock.ts'
import { Queue } from './queue.ts'
import type { UpstreamTarget } from './target.ts'

export interface Kin {
  /** All of its addresses, removed ones included. */
  readonly all: readonly UpstreamTarget[]
}

export interface LineageContext {
  clock: Clock
  /** Where places are counted; without it in this thread alone. */
  cells?: Cells
}

export class Lineage {
  readonly queue: Queue
  readonly kin = new Set<Kin>()
  /** For each address; Infinity is off. */
  #maxConnections: number

  constructor(context: LineageContext & { name: string }, maxConnections: number) {
    this.queue = new Queue(context)
    this.#maxConnections = maxConnections
  }

  get maxConnections(): number {
    return this.#maxConnections
  }

  /** The same address in each of the upstreams: their connections count as one for an operator. */
  at(address: string): UpstreamTarget[] {
    return [...this.kin].flatMap(({ all }) => all.filter(({ name }) => name === address))
  }

  /**
   * The addresses that only upstreams of before a reload have, with connections that go on there: `current`
   * has them no more. Each once.
   */
  former(current: Kin): UpstreamTarget[] {
    const known = new Set(current.all.map(({ name }) => name))
    const former = [...this.kin].flatMap(({ all }) =>
      all.filter(({ open, name }) => open > 0 && !known.has(name)),
    )
    return [...new Map(former.map((target) => [target.name, target])).values()]
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
  readonly #known = new Map<string, Lineage>()

  constructor(context: LineageContext) {
    this.#context = context
  }

  get cells(): Cells | undefined {
    return this.#context.cells
  }

  /** `maxConnections` is for the first of the name; `settle` changes it. */
  join(name: string, maxConnections: number, one: Kin): Lineage {
    const lineage = this.#known.get(name) ?? new Lineage({ ...this.#context, name }, maxConnections)
    this.#known.set(name, lineage)
    lineage.kin.add(one)
    return lineage
  }

  leave(name: string, one: Kin): void {
    const lineage = this.#known.get(name)
    lineage?.kin.delete(one)
    if (lineage?.kin.size === 0) this.#known.delete(name)
  }
}
