// Live connections as a table for people: one line each, columns as wide as what is in them.

import type { ConnectionRow } from '../../admin/types.ts'
import { formatBytes } from '../../core/wait.ts'
import { safe } from './usage.ts'

interface Column {
  title: string
  isNumber?: boolean
  cell: (row: ConnectionRow) => string
}

const columns: readonly Column[] = [
  { title: 'ID', isNumber: true, cell: ({ id }) => String(id) },
  { title: 'LISTENER', cell: ({ listener }) => listener },
  { title: 'PROTO', cell: ({ protocol }) => (protocol === 'websocket' ? 'ws' : protocol) },
  { title: 'CLIENT', cell: ({ client }) => client },
  { title: 'UPSTREAM', cell: ({ upstream }) => upstream ?? '-' },
  { title: 'PHASE', cell: ({ phase, close }) => (close === null ? phase : `${phase} ${close.reason}`) },
  { title: 'AGE', isNumber: true, cell: ({ ageMs }) => formatAge(ageMs) },
  { title: 'IDLE', isNumber: true, cell: ({ idleMs }) => formatAge(idleMs) },
  { title: 'RATE', isNumber: true, cell: ({ bytesPerSec }) => (bytesPerSec === null ? '-' : `${formatBytes(bytesPerSec)}/s`) },
  { title: 'QUEUED', isNumber: true, cell: ({ queued }) => formatBytes(queued.client + queued.upstream) },
]
/** A name may be long; a table that wraps is none. */
const MAX_CELL = 40

/** The titles and a line for each row, without anything that a terminal would act on. */
export function formatRows(rows: readonly ConnectionRow[]): string[] {
  const cells = rows.map((row) => columns.map(({ cell }) => cut(safe(cell(row)))))
  const widths = columns.map(({ title }, nth) => Math.max(title.length, ...cells.map((line) => line[nth]!.length)))
  const format = (line: readonly string[]): string =>
    line.map((text, nth) => (columns[nth]!.isNumber === true ? text.padStart(widths[nth]!) : text.padEnd(widths[nth]!))).join('  ').trimEnd()
  return [format(columns.map(({ title }) => title)), ...cells.map(format)]
}

function cut(text: string): string {
  return text.length > MAX_CELL ? `${text.slice(0, MAX_CELL - 3)}...` : text
}

/** `0.3s`, `12s`, `3m20s`, `5h12m`, `4d6h`: two units at most. */
export function formatAge(ms: number): string {
  if (ms < 9950) return `${(ms / 1000).toFixed(1)}s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${pad(seconds % 60)}s`
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h${pad(Math.floor((seconds % 3600) / 60))}m`
  return `${Math.floor(seconds / 86_400)}d${pad(Math.floor((seconds % 86_400) / 3600))}h`
}

function pad(amount: number): string {
  return String(amount).padStart(2, '0')
}
