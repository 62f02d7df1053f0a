// `sidegate upstreams`: each upstream address of a running gate, its state, and its last answer to a check or
// a dial.

import type { TargetView, UpstreamView } from '../../upstream/upstream-view.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import { formatTable, type Column } from './table.ts'
import { OK } from '../../core/exit-codes.ts'
import { parse, printJson, printLine } from './usage.ts'

type ListenerUpstream = UpstreamView & { listener: string }
type Row = TargetView & { listener: string }

const SESSIONS = 'SESSIONS'
const columns: ReadonlyArray<Column<Row>> = [
  { title: 'LISTENER', cell: ({ listener }) => listener },
  {
    title: 'ADDRESS',
    cell: ({ address, resolvedFrom }) => (resolvedFrom === null ? address : `${address} (${resolvedFrom})`),
  },
  { title: 'STATE', cell: ({ state, isMissing }) => (isMissing ? `${state}, not in DNS` : state) },
  { title: 'OPEN', isNumber: true, cell: ({ open }) => String(open) },
  { title: SESSIONS, cell: ({ sessions }) => sessionsText(sessions) },
  { title: 'LAST CHECK', cell: ({ lastCheck }) => checkText(lastCheck) },
  {
    title: 'LAST FAILED DIAL',
    cell: ({ lastFailure }) => (lastFailure === null ? '-' : `${lastFailure.problem}, ${lastFailure.at}`),
  },
]
/** A problem may be a sentence. */
const MAX_CELL = 80

export async function upstreams(args: string[]): Promise<number> {
  const { values } = parse({ args, options: { ...adminOptions, json: { type: 'boolean', default: false } } })
  const all = await askJson<ListenerUpstream[]>(await findGate(values), '/upstreams')
  if (values.json) return printJson(all)
  const rows = all.flatMap(({ listener, targets }) => targets.map((target) => ({ listener, ...target })))
  // Only services that speak HTTP/2 have sessions.
  const hasSessions = rows.some(({ sessions }) => sessions !== null)
  const shown = columns.filter(({ title }) => hasSessions || title !== SESSIONS)
  for (const line of formatTable(shown, rows, MAX_CELL)) printLine(line)
  for (const line of all.flatMap(remarks)) printLine(line)
  return OK
}

function sessionsText(sessions: TargetView['sessions']): string {
  if (sessions === null) return '-'
  const { open, leaving, streams } = sessions
  return `${open}${leaving === 0 ? '' : ` and ${leaving} leaving`}, ${streams} ${streams === 1 ? 'stream' : 'streams'}`
}

function checkText(check: TargetView['lastCheck']): string {
  if (check === null) return '-'
  return `${check.problem ?? `passed, ${check.answered ?? 'accepted'}`}, ${check.at}`
}

/** Facts about no single address. */
function remarks({ listener, queued, maxConnections, names }: ListenerUpstream): string[] {
  const waiting =
    queued === 0
      ? []
      : [
          `${listener}: ${queued} wait for a place${maxConnections === null ? '' : `, ${maxConnections} for each address`}`,
        ]
  const unresolved = names
    .filter(({ state }) => state !== 'resolved')
    .map(
      ({ name, state, problem }) =>
        `${listener}: the name ${name} is ${state}${problem === null ? '' : `: ${problem}`}`,
    )
  return [...waiting, ...unresolved]
}
