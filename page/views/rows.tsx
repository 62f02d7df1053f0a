// A table of which only the visible rows exist: 5,000 cost as much as 40. It scrolls with the page, so that
// it is found and printed like any other; all rows have one height.

import { useEffect, useRef, useState } from 'preact/hooks'
import type { ConnectionRow } from '../../src/admin/types.ts'
import type { Column } from './connection-columns.tsx'

/** The height in page.css. */
const ROW_PX = 32
const BEYOND = 12

interface Order {
  column: Column
  isUp: boolean
}

interface Props {
  rows: readonly ConnectionRow[]
  /** They answer an earlier question. */
  isOld: boolean
  columns: readonly Column[]
  order: Order
  onOrder: (column: Column) => void
}

export function Rows({ rows, isOld, columns, order, onOrder }: Props) {
  const table = useRef<HTMLTableElement>(null)
  const [first, last] = useSight(table, rows.length)
  return (
    <div class="wide" aria-busy={isOld}>
      <table ref={table} class="rows" aria-rowcount={rows.length + 1}>
        <thead>
          <tr aria-rowindex={1}>
            {columns.map((column) => (
              <Head key={column.title} column={column} order={order} onOrder={onOrder} />
            ))}
          </tr>
        </thead>
        <tbody>
          {first > 0 && <Gap rows={first} columns={columns.length} />}
          {rows.slice(first, last).map((row, nth) => (
            <tr key={row.id} aria-rowindex={first + nth + 2} class={row.close === null ? '' : 'leaving'}>
              {columns.map(({ title, isNumber, cell, rank }) => (
                <td key={title} class={`rank${rank} ${isNumber === true ? 'right' : ''}`}>
                  {cell(row)}
                </td>
              ))}
            </tr>
          ))}
          {last < rows.length && <Gap rows={rows.length - last} columns={columns.length} />}
        </tbody>
      </table>
    </div>
  )
}

function Head({
  column,
  order,
  onOrder,
}: {
  column: Column
  order: Order
  onOrder: (column: Column) => void
}) {
  const isChosen = order.column === column
  const isDown = isChosen && (column.isNumber === true) !== order.isUp
  return (
    <th
      scope="col"
      class={`rank${column.rank} ${column.isNumber === true ? 'right' : ''}`}
      aria-sort={isChosen ? (isDown ? 'descending' : 'ascending') : undefined}
    >
      <button type="button" onClick={() => onOrder(column)}>
        {column.title}
        <span aria-hidden="true">{isChosen ? (isDown ? ' ↓' : ' ↑') : ''}</span>
      </button>
    </th>
  )
}

/** As high as the absent rows. */
function Gap({ rows, columns }: { rows: number; columns: number }) {
  return (
    <tr aria-hidden="true" class="gap">
      <td colSpan={columns} style={{ height: `${rows * ROW_PX}px` }} />
    </tr>
  )
}

/** The first visible row and the one after the last, with some more on both sides. */
function useSight(table: { current: HTMLTableElement | null }, count: number): [number, number] {
  const [sight, setSight] = useState<[number, number]>([0, 60])
  useEffect(() => {
    let isAsked = false
    const look = (): void => {
      isAsked = false
      const top = -(table.current?.tBodies[0]?.getBoundingClientRect().top ?? 0)
      const first = Math.max(0, Math.min(count, Math.floor(top / ROW_PX) - BEYOND))
      const last = first + Math.ceil(innerHeight / ROW_PX) + 2 * BEYOND
      setSight((before) => (before[0] === first && before[1] === last ? before : [first, last]))
    }
    const onMove = (): void => {
      if (isAsked) return
      isAsked = true
      requestAnimationFrame(look)
    }
    look()
    addEventListener('scroll', onMove, { passive: true })
    addEventListener('resize', onMove)
    return () => {
      removeEventListener('scroll', onMove)
      removeEventListener('resize', onMove)
    }
  }, [count])
  return [Math.min(sight[0], count), Math.min(sight[1], count)]
}
