// One look of `sidegate top` at its gates: the connections of all, in one order, and for each gate its state
// and its recent ends.

import type { Info, RecentEnd, SeriesView, Sort } from '../../admin/types.ts'
import { askJson } from './admin-client.ts'
import { hear } from './gates.ts'
import type { NamedGate } from './gates.ts'
import { inOrder } from './rows.ts'
import type { GateRow } from './rows.ts'

export interface GateLook {
  name: string | null
  info: Info | null
  /** Ends by reason in the last 15 minutes, refusals as `refused with REASON`; the most frequent first. */
  ends: Array<[reason: string, count: number]>
  /** Connections whose sender waits for their reader. */
  heldBack: number
  /** Why it did not answer; its last answer stays. */
  problem: string | null
}

export interface Look {
  gates: GateLook[]
  rows: Array<GateRow & { of: NamedGate }>
}

const STEPS = 180
/** The line of a gate tells of workers that do not answer; another line would break the screen. */
const quiet = { isQuiet: true }
/** The gate takes a step every five seconds. */
const SERIES_EVERY_LOOKS = 5

/** The state of looking at one gate: its answers so far, so that only new steps are requested. */
class Eyes {
  readonly of: NamedGate
  readonly #ended = new Map<string, number[]>()
  #last = 0
  #looks = 0
  #look: GateLook

  constructor(of: NamedGate) {
    this.of = of
    this.#look = { name: of.name, info: null, ends: [], heldBack: 0, problem: null }
  }

  async look(question: string): Promise<{ look: GateLook; rows: GateRow[] }> {
    const { gate, name } = this.of
    const heard = await hear(
      Promise.all([
        askJson<Info>(gate, '/info', quiet),
        askJson<GateRow[]>(gate, `/connections?${question}`, quiet),
        this.#looks++ % SERIES_EVERY_LOOKS === 0
          ? askJson<SeriesView>(gate, `/series?after=${this.#last}`, quiet)
          : null,
      ]),
    )
    if ('problem' in heard) {
      this.#look = { ...this.#look, problem: heard.problem }
      return { look: this.#look, rows: [] }
    }
    const [info, rows, series] = heard.value
    if (series !== null) this.#remember(series)
    this.#look = { ...this.#look, info, problem: null }
    return { look: this.#look, rows: name === null ? rows : rows.map((row) => ({ ...row, gate: name })) }
  }

  #remember({ last, at, columns }: SeriesView): void {
    // The gate has restarted.
    if (last < this.#last) this.#ended.clear()
    this.#last = last
    const steps = new Map<string, number[]>()
    for (const { name, labels, values } of columns) {
      if (name !== 'ended' && name !== 'refused') continue
      const reason = `${name === 'refused' ? 'refused with ' : ''}${labels['reason'] ?? ''}`
      const before = steps.get(reason) ?? at.map(() => 0)
      steps.set(
        reason,
        before.map((count, nth) => count + (values[nth] ?? 0)),
      )
    }
    for (const [reason, counts] of steps)
      this.#ended.set(reason, [...(this.#ended.get(reason) ?? []), ...counts].slice(-STEPS))
    const heldBack = columns.find(({ name }) => name === 'heldBack')?.values.at(-1)
    this.#look = { ...this.#look, ends: this.#ends(), heldBack: heldBack ?? this.#look.heldBack }
  }

  #ends(): GateLook['ends'] {
    return [...this.#ended]
      .map(([reason, counts]): [string, number] => [reason, counts.reduce((sum, count) => sum + count, 0)])
      .filter(([, count]) => count > 0)
      .sort(([, one], [, other]) => other - one)
  }
}

export class Lookout {
  readonly #eyes: readonly Eyes[]

  constructor(gates: readonly NamedGate[]) {
    this.#eyes = gates.map((gate) => new Eyes(gate))
  }

  get gates(): readonly NamedGate[] {
    return this.#eyes.map(({ of }) => of)
  }

  async look(query: URLSearchParams, sort: Sort): Promise<Look> {
    const question = new URLSearchParams(query)
    question.set('sort', sort)
    question.set('wait', '1')
    const seen = await Promise.all(
      this.#eyes.map(async (eyes) => ({ eyes, ...(await eyes.look(question.toString())) })),
    )
    const rows = seen.flatMap(({ eyes, rows: own }) => own.map((row) => ({ ...row, of: eyes.of })))
    return {
      gates: seen.map(({ look }) => look),
      rows: this.#eyes.length === 1 ? rows : rows.sort(inOrder(sort)),
    }
  }

  /** The recent ends of all gates, the newest first. */
  async recent(): Promise<Array<RecentEnd & { gate?: string }>> {
    const seen = await Promise.all(
      this.#eyes.map(async ({ of: { gate, name } }) => {
        const heard = await hear(askJson<RecentEnd[]>(gate, '/recent', quiet))
        const ends = 'value' in heard ? heard.value : []
        return name === null ? ends : ends.map((end) => ({ ...end, gate: name }))
      }),
    )
    return seen.flat().sort((one, other) => (one.ended < other.ended ? 1 : -1))
  }
}
