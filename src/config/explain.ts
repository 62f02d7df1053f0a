// All words about a close reason, for `sidegate explain` and docs/close-reasons.md. It belongs to the
// configuration because it names the key that governs each reason, and its default.

import type { Reason, ReasonRow } from '../core/close.ts'
import { http2CodeName, reasonNames, reasonRow } from '../core/close.ts'
import { defaultText, rows } from './rows.ts'

export interface Explanation {
  reason: Reason
  when: string
  causes: string
  /** How the sockets end, in words. */
  manner: string
  http: string
  websocket: string
  /** The codes of RST_STREAM and GOAWAY. */
  http2: string
  /** The governing keys, with their defaults. */
  keys: GoverningKey[]
  metric: string
}

export interface GoverningKey {
  name: string
  /** Null where this version has no such key yet. */
  default: string | null
}

const manners = {
  flush:
    'flush: queued bytes go out while the peer takes them (`deadlines.close` without progress, `deadlines.write` after an end of a peer), then FIN',
  drop: 'drop: FIN, and queued bytes are forgotten, for the peer at fault; the other gets what is queued, then FIN',
  deliver: 'deliver: what was accepted goes out first (`deadlines.write` without progress), then RST',
  reset:
    'reset: RST, which frees what the kernel holds; a peer that is not at fault gets what was accepted first, unless Sidegate itself is the cause',
} as const

export function explain(reason: Reason): Explanation {
  const row = reasonRow(reason)
  return {
    reason,
    when: row.when,
    causes: row.causes,
    manner: manners[row.manner],
    http: httpText(row),
    websocket: websocketText(row),
    http2: http2Text(reason),
    keys: (row.key ?? '')
      .split(', ')
      .filter((name) => name !== '')
      .map(governing),
    metric: `sidegate_connections_closed_total{reason="${reason}"}`,
  }
}

/** `502`, or by the side at fault: `408 (client), 504 (upstream)`. */
function httpText({ http }: ReasonRow): string {
  if (http === undefined) return '-'
  return http.client === http.upstream
    ? String(http.client)
    : `${http.client} (by the client), ${http.upstream} (by the upstream)`
}

function websocketText({ websocket }: ReasonRow): string {
  if (websocket === undefined) return '-'
  const { client, upstream, offender } = websocket
  if (client === upstream && (offender === undefined || offender === client))
    return `${client}${offender === undefined ? ' to the other side' : ''}`
  const parts = [
    client === undefined ? 'none to the client' : `${client} to the client`,
    `${upstream} to the upstream`,
  ]
  // Where the offender gets the client's code anyway, Sidegate itself is the cause and there is no offender.
  if (offender !== undefined && offender !== client) parts.push(`${offender} to the side that caused it`)
  return parts.join(', ')
}

/**
 * The codes of a client's stream, where the client or we caused the end and where the upstream did; and of
 * its connection.
 */
function http2Text(reason: Reason): string {
  return `RST_STREAM ${http2CodeName(reason, 'stream', 'client')} (by the upstream INTERNAL_ERROR), GOAWAY ${http2CodeName(reason, 'connection', 'client')}`
}

function governing(name: string): GoverningKey {
  const row = rows().find(({ path }) => path === name || path === `listeners[].${name}`)
  const isGroup = rows().some(
    ({ path }) =>
      path.startsWith(`listeners[].${name}.`) || path.startsWith(`${name}.`) || path.startsWith(`${name}[]`),
  )
  if (row === undefined) return { name, default: isGroup ? '' : null }
  return { name, default: defaultText(row.meta) ?? '' }
}

/** One reason in full. */
export function explainText(reason: Reason): string {
  const { when, causes, manner, http, websocket, http2, keys, metric } = explain(reason)
  const lines = [
    reason,
    '',
    `  meaning    ${when}`,
    `  causes     ${causes}`,
    `  key        ${keys.length === 0 ? '-' : keys.map(keyText).join('\n             ')}`,
    `  manner     ${manner}`,
    `  HTTP       ${http}`,
    `  WebSocket  ${websocket}`,
    `  HTTP/2     ${http2}`,
    `  metric     ${metric}`,
    `  log        close=${reason}`,
  ]
  return `${lines.join('\n').replaceAll('`', '')}\n`
}

function keyText({ name, default: value }: GoverningKey): string {
  if (value === null) return `${name} (not supported yet)`
  return value === '' ? name : `${name} (default ${value})`
}

/** All reasons as a table. */
export function reasonsTable(): string {
  const table = [
    ['REASON', 'MANNER', 'HTTP', 'KEY'],
    ...reasonNames.map((reason) => {
      const row = reasonRow(reason)
      const http = row.http === undefined ? '-' : [...new Set([row.http.client, row.http.upstream])].join('/')
      return [reason, row.manner, http, row.key ?? '-']
    }),
  ]
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((cells) => cells[column]?.length ?? 0)))
  return table
    .map((cells) => `${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}\n`)
    .join('')
}
