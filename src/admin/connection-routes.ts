// The routes of live connections: a listing, one in full, and the end of one by an operator.

import type { Clock } from '../core/clock.ts'
import { readConnectionQuery } from './connection-query.ts'
import type { ConnectionQuery, RowsQuery } from './connection-query.ts'
import { jsonAnswer } from '../ops/answer.ts'
import type { Answer } from '../ops/answer.ts'
import type { Route } from '../ops/ops-server.ts'
import { unknownListener } from './parameters.ts'
import { inSlices } from './slices.ts'
import type { ConnectionCounts, ConnectionDetail, ConnectionRow, Ended, ListenerView } from './types.ts'

/** All live connections, whichever gate serves them. */
export interface Directory {
  /** The ids of those that match, in order. */
  list(query: ConnectionQuery): Promise<readonly number[]>
  /** The rows of those that are still open. */
  rows(query: RowsQuery): Promise<ConnectionRow[]>
  /** Null where there is none; silent: its worker does not answer. */
  describe(id: number): Promise<ConnectionDetail | 'silent' | null>
  /** As above. A silent worker has got the order, and ends the connection if it ever turns again. */
  kill(id: number): Promise<Ended | 'silent' | null>
  counts(): Promise<ConnectionCounts>
}

const gone = (): Answer =>
  jsonAnswer({ error: 'no such connection; it may have ended, and its line is in the log' }, 404)
const SILENT =
  'its worker does not answer; ask again: a worker that hangs for 10 s is replaced, and its connections end'
const unheard = (words = SILENT): Answer => jsonAnswer({ error: words }, 504)

export interface ConnectionParts {
  clock: Clock
  directory: Directory
  listeners: () => readonly Pick<ListenerView, 'name'>[]
}

export function connectionRoutes({ clock, directory, listeners }: ConnectionParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/connections',
      summary:
        'live connections: ?listener= &protocol= &phase= &state= &client= &peer= &upstream= &sort=age|idle|buffered|rate &limit=100 &wait=1',
      async handle({ query: search }) {
        const query = readConnectionQuery(search)
        if (typeof query === 'string') return jsonAnswer({ error: query }, 400)
        const unknown = await problemOfListener(query.filters.listener, { directory, listeners })
        if (unknown !== null) return jsonAnswer({ error: unknown }, 400)
        const ids = await directory.list(query)
        const rows = (slice: readonly number[]): Promise<ConnectionRow[]> =>
          directory.rows({ ids: slice, withWaits: query.withWaits })
        return { status: 200, contentType: 'application/json', body: rowsOf(clock, ids, rows) }
      },
    },
    {
      method: 'GET',
      path: '/connections/:id',
      summary: 'one of them: what it waits for, and which deadline comes next',
      async handle({ parameter }) {
        const id = readId(parameter)
        const detail = id === null ? null : await directory.describe(id)
        return detail === null ? gone() : detail === 'silent' ? unheard() : jsonAnswer(detail)
      },
    },
    {
      method: 'DELETE',
      path: '/connections/:id',
      summary: 'ends it with the reason killed',
      async handle({ parameter }) {
        const id = readId(parameter)
        const killed = id === null ? null : await directory.kill(id)
        if (killed === null) return gone()
        if (killed === 'silent') return unheard(`${SILENT}. It has the order to end this one`)
        return killed.close === null
          ? jsonAnswer({ error: 'this connection cannot be ended yet, try again' }, 409)
          : jsonAnswer(killed)
      },
    },
  ]
}

/** A problem for a name that neither a listener has nor a removed one with open connections: a mistake. */
async function problemOfListener(
  name: string | undefined,
  { directory, listeners }: Omit<ConnectionParts, 'clock'>,
): Promise<string | null> {
  if (name === undefined) return null
  const unknown = unknownListener(name, listeners())
  return unknown === null || name in (await directory.counts()).listeners ? null : unknown
}

function readId(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null
}

/** A JSON array, one row on a line, made as the client takes it. */
async function* rowsOf(
  clock: Clock,
  ids: readonly number[],
  rowsAt: (ids: readonly number[]) => Promise<ConnectionRow[]>,
): AsyncGenerator<string> {
  let separator = '[\n'
  for await (const slice of inSlices(clock, ids)) {
    const rows = (await rowsAt(slice)).map((row) => JSON.stringify(row))
    // All of them may have ended.
    if (rows.length === 0) continue
    yield separator + rows.join(',\n')
    separator = ',\n'
  }
  yield separator === '[\n' ? '[]\n' : '\n]\n'
}
