// The lines of `sidegate top`: the gates, the recent ends, and a table.

import type { RecentEnd, Sort } from '../../admin/types.ts'
import { awayInWords } from '../../admin/shared-words.ts'
import { silentInWords } from '../../admin/worker-words.ts'
import { formatAge, formatBytes } from '../../core/wait.ts'
import { nameOf } from './admin-client.ts'
import type { NamedGate } from './gates.ts'
import { recentColumns } from './recent.ts'
import type { GateRow } from './rows.ts'
import { formatTable } from './table.ts'
import type { Column } from './table.ts'
import type { GateLook, Look } from './top-look.ts'
import { safe } from './usage.ts'

/** A line for each gate, one for all connections, and one for the recent ends. */
export function headLines(
  gates: readonly NamedGate[],
  look: Look,
  order: { sort: Sort; state: string | null },
): string[] {
  return [
    ...look.gates.map((gate, nth) => gateLine(gates[nth]!, gate)),
    connectionsLine(look.gates, order),
    endsLine(look.gates),
  ].map(safe)
}

function gateLine({ gate }: NamedGate, { info, problem }: GateLook): string {
  if (problem !== null) return problem
  if (info === null) return `asking ${nameOf(gate)}`
  const { memory } = info
  const used =
    memory === null
      ? ''
      : `, memory ${formatBytes(memory.usageBytes)} of ${formatBytes(memory.limitBytes)} (${Math.round((100 * memory.usageBytes) / memory.limitBytes)}%)`
  const silent = silentInWords(info.workers?.silent ?? [])
  const lacks = silent === null ? '' : `; ${silent}`
  // A gate of an older version does not say.
  const away = info.shared == null ? null : awayInWords(info.shared)
  const fleet = away === null ? '' : `; ${away}`
  return `sidegate ${info.version} at ${nameOf(gate)}, ${info.state}, up ${formatAge(info.uptimeMs)}${used}${lacks}${fleet}`
}

function connectionsLine(
  gates: readonly GateLook[],
  { sort, state }: { sort: Sort; state: string | null },
): string {
  const open = gates.reduce((sum, { info }) => sum + (info?.connections ?? 0), 0)
  const heldBack = gates.reduce((sum, gate) => sum + gate.heldBack, 0)
  const counts = (key: 'protocols' | 'phases'): string => {
    const total = new Map<string, number>()
    for (const { info } of gates)
      for (const [name, count] of Object.entries(info?.[key] ?? {}))
        total.set(name, (total.get(name) ?? 0) + count)
    return [...total].map(([name, count]) => `${count} ${name}`).join(', ')
  }
  const detail = open === 0 ? '' : `: ${counts('protocols')}; ${counts('phases')}`
  const held = heldBack === 0 ? '' : `; ${heldBack} held back`
  const shown = state === null ? '' : `; only ${state}`
  return `${open} ${open === 1 ? 'connection' : 'connections'}${detail}${held}; sorted by ${sort}${shown}`
}

function endsLine(gates: readonly GateLook[]): string {
  const total = new Map<string, number>()
  for (const { ends } of gates)
    for (const [reason, count] of ends) total.set(reason, (total.get(reason) ?? 0) + count)
  const counts = [...total]
    .sort(([, one], [, other]) => other - one)
    .map(([reason, count]) => `${count} ${reason}`)
  return `ended in 15 minutes: ${counts.length === 0 ? 'none' : counts.join(', ')}`
}

interface Client {
  client: string
  connections: number
  bytesPerSec: number
  queued: number
  oldestMs: number
}

/** Connections by client, those with the most first; an address counts whatever its ports. */
export function clientLines(rows: readonly GateRow[]): string[] {
  const clients = new Map<string, Client>()
  for (const row of rows) {
    const client = row.client.replace(/:\d+$/, '')
    const sum = clients.get(client) ?? { client, connections: 0, bytesPerSec: 0, queued: 0, oldestMs: 0 }
    sum.connections++
    sum.bytesPerSec += row.bytesPerSec ?? 0
    sum.queued += row.queued.client + row.queued.upstream
    sum.oldestMs = Math.max(sum.oldestMs, row.ageMs)
    clients.set(client, sum)
  }
  return formatTable(
    clientColumns,
    [...clients.values()].sort((one, other) => other.connections - one.connections),
  )
}

const clientColumns: ReadonlyArray<Column<Client>> = [
  { title: 'CLIENT', cell: ({ client }) => client },
  { title: 'CONNECTIONS', isNumber: true, cell: ({ connections }) => String(connections) },
  { title: 'OLDEST', isNumber: true, cell: ({ oldestMs }) => formatAge(oldestMs) },
  { title: 'RATE', isNumber: true, cell: ({ bytesPerSec }) => `${formatBytes(bytesPerSec)}/s` },
  { title: 'QUEUED', isNumber: true, cell: ({ queued }) => formatBytes(queued) },
]

type Recent = RecentEnd & { gate?: string }

export function recentLines(ends: readonly Recent[]): string[] {
  const columns = ends.some(({ gate }) => gate !== undefined) ? [gateColumn, ...recentColumns] : recentColumns
  return formatTable(columns, ends)
}

const gateColumn: Column<Recent> = { title: 'GATE', cell: ({ gate }) => gate ?? '' }
