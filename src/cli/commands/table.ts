// A table for people: one line each, columns as wide as their content, without characters that a terminal
// would act on.

import { safe } from './usage.ts'

export interface Column<Row> {
  title: string
  isNumber?: boolean
  cell: (row: Row) => string
}

/** A name may be long; a table that wraps is unreadable. */
const MAX_CELL = 40

/** The titles and a line for each row. `maxCell` cuts longer cells. */
export function formatTable<Row>(
  columns: ReadonlyArray<Column<Row>>,
  rows: readonly Row[],
  maxCell = MAX_CELL,
): string[] {
  const cells = rows.map((row) => columns.map(({ cell }) => cut(safe(cell(row)), maxCell)))
  const widths = columns.map(({ title }, nth) =>
    Math.max(title.length, ...cells.map((line) => line[nth]!.length)),
  )
  const format = (line: readonly string[]): string =>
    line
      .map((text, nth) =>
        columns[nth]!.isNumber === true ? text.padStart(widths[nth]!) : text.padEnd(widths[nth]!),
      )
      .join('  ')
      .trimEnd()
  return [format(columns.map(({ title }) => title)), ...cells.map(format)]
}

function cut(text: string, max: number): string {
  return text.length > max ? `${text.slice(0, max - 3)}...` : text
}
