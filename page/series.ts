// The last quarter of an hour from the gate's history, kept up to date a step at a time.

import { useEffect, useState } from 'preact/hooks'
import type { SeriesView } from '../src/admin/types.ts'
import { poll } from './poll.ts'

export const STEPS = 180

type Column = SeriesView['columns'][number]
export type Values = ReadonlyArray<number | null>

export class Series {
  /** Seconds since 1970, the oldest first. */
  readonly at: readonly number[]
  readonly last: number
  readonly #columns: ReadonlyMap<string, Column>

  constructor(at: readonly number[] = [], columns: ReadonlyMap<string, Column> = new Map(), last = 0) {
    this.at = at
    this.last = last
    this.#columns = columns
  }

  /** With the later steps appended; a restarted gate restarts this. */
  with(view: SeriesView): Series {
    if (view.last < this.last) return new Series()
    const at = [...this.at, ...view.at.map((moment) => Date.parse(moment) / 1000)].slice(-STEPS)
    const columns = new Map<string, Column>()
    for (const column of view.columns) {
      const key = keyOf(column)
      const before = this.#columns.get(key)?.values ?? this.at.map(() => (column.kind === 'count' ? 0 : null))
      columns.set(key, { ...column, values: [...before, ...column.values].slice(-STEPS) })
    }
    return new Series(at, columns, view.last)
  }

  /** The columns of that name. */
  all(name: string): Column[] {
    return [...this.#columns.values()].filter((column) => column.name === name)
  }

  /** The column of that name with these labels, or only gaps. */
  one(name: string, labels: Record<string, string> = {}): Values {
    return (
      this.all(name).find((column) =>
        Object.entries(labels).every(([label, value]) => column.labels[label] === value),
      )?.values ?? this.at.map(() => null)
    )
  }

  /** A count of each step as a rate per second. */
  perSecond(values: Values): Values {
    return values.map((value, nth) => {
      const seconds = nth === 0 ? 5 : this.at[nth]! - this.at[nth - 1]!
      return value === null || seconds <= 0 ? null : value / seconds
    })
  }
}

function keyOf({ name, labels }: Column): string {
  return [name, ...Object.values(labels)].join('\n')
}

export function useSeries(): Series {
  const [series, setSeries] = useState(() => new Series())
  useEffect(() => {
    let latest = new Series()
    return poll<SeriesView>(
      () => `series?after=${latest.last}`,
      5000,
      ({ value }) => {
        if (value !== null) setSeries((latest = latest.with(value)))
      },
    )
  }, [])
  return series
}

export function lastOf(values: Values): number | null {
  return values.at(-1) ?? null
}
