// The last fifteen minutes of the gate in steps of five seconds, kept by the gate itself: an operator with a
// complaint sees the past, scraped or not. A ring of plain numbers, with a column for each figure that was
// ever reported: a column is 1.4 KB, and those of listeners are bounded, so that 256 listeners cost no more
// than 64.

import type { Clock } from '../core/clock.ts'

export const STEP_MS = 5000
export const STEPS = 180
/** Columns beyond these are added up under `others`. */
const MAX_LISTENER_COLUMNS = 128

/** One number at one moment. A count only goes up; its column holds the growth in each step. */
export interface Figure {
  name: string
  labels: Readonly<Record<string, string>>
  kind: 'level' | 'count'
  value: number
  /** What it counts, where each gate may count others. */
  members?: readonly string[]
}

/** `values` belong to the moments `at`; null where no figure came. */
export interface Column extends Omit<Figure, 'value' | 'members'> {
  values: Array<number | null>
}

export interface HistoryView {
  stepMs: number
  /** The number of the last step; a later request asks for the steps after it. */
  last: number
  /** When each step was taken, in wall-clock milliseconds, the oldest first. */
  at: number[]
  columns: Column[]
}

interface Kept extends Omit<Figure, 'value'> {
  ring: Float64Array
  /** The value in the last step, and in the one before. */
  total: number
  before: number
  /** The last step in which the figure came. */
  seen: number
}

export class History {
  readonly #clock: Clock
  readonly #read: () => Promise<Iterable<Figure>>
  readonly #columns = new Map<string, Kept>()
  readonly #at = new Float64Array(STEPS)
  #listenerColumns = 0
  #step = 0
  #stop: (() => void) | null = null

  constructor(clock: Clock, read: () => Promise<Iterable<Figure>>) {
    this.#clock = clock
    this.#read = read
  }

  start(): void {
    void this.take()
    this.#stop = this.#clock.every(STEP_MS, () => void this.take())
  }

  stop(): void {
    this.#stop?.()
    this.#stop = null
  }

  /** Takes one step. */
  async take(): Promise<void> {
    const figures = await this.#read()
    const step = ++this.#step
    const slot = step % STEPS
    this.#at[slot] = this.#clock.wall()
    for (const kept of this.#columns.values()) kept.ring[slot] = kept.kind === 'count' ? 0 : Number.NaN
    for (const figure of figures) this.#put(figure, step, slot)
    for (const [key, { seen, labels }] of this.#columns) {
      if (step - seen < STEPS) continue
      this.#columns.delete(key)
      if ('listener' in labels) this.#listenerColumns--
    }
  }

  #put({ name, labels, kind, value }: Figure, step: number, slot: number): void {
    const kept = this.#columnOf(name, labels, kind)
    if (kept.seen !== step) {
      kept.before = kept.total
      kept.total = 0
    }
    kept.seen = step
    kept.total += value
    if (kind === 'level') kept.ring[slot] = kept.total
    // The first step knows no growth, only totals. A count that comes later began at 0.
    else if (step > 1) kept.ring[slot] = Math.max(0, kept.total - kept.before)
  }

  #columnOf(name: string, labels: Figure['labels'], kind: Figure['kind']): Kept {
    const key = keyOf(name, labels)
    const known = this.#columns.get(key)
    if (known !== undefined) return known
    const isOfListener = 'listener' in labels
    if (isOfListener && labels['listener'] !== 'others' && this.#listenerColumns >= MAX_LISTENER_COLUMNS)
      return this.#columnOf(name, { ...labels, listener: 'others' }, kind)
    if (isOfListener) this.#listenerColumns++
    const ring = new Float64Array(STEPS).fill(kind === 'count' ? 0 : Number.NaN)
    const kept: Kept = { name, labels, kind, ring, total: 0, before: 0, seen: 0 }
    this.#columns.set(key, kept)
    return kept
  }

  /** The steps after `after`, as far as they are kept. */
  view(after = 0): HistoryView {
    const last = this.#step
    const first = Math.max(after, last - STEPS, 0) + 1
    const slots = Array.from({ length: Math.max(0, last - first + 1) }, (_, nth) => (first + nth) % STEPS)
    return {
      stepMs: STEP_MS,
      last,
      at: slots.map((slot) => this.#at[slot]!),
      columns: [...this.#columns.values()].map(({ name, labels, kind, ring }) => ({
        name,
        labels,
        kind,
        values: slots.map((slot) => shown(ring[slot]!)),
      })),
    }
  }
}

/** Two places after the point are enough for readers. */
function shown(value: number): number | null {
  return Number.isNaN(value) ? null : Math.round(value * 100) / 100
}

function keyOf(name: string, labels: Figure['labels']): string {
  return [name, ...Object.values(labels)].join('\n')
}
