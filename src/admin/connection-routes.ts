// The live connections: a listing, one in full, and the end of one by an operator.

import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Connection, Registry } from '../core/connection.ts'
import { readConnectionQuery, selectConnections } from './connection-query.ts'
import { viewClose, viewConnection, viewConnectionInFull } from './connection-view.ts'
import { jsonAnswer, type Answer, type Route } from '../ops/ops-server.ts'
import type { Rates } from './rates.ts'
import { inSlices } from './slices.ts'
import type { Killed } from './types.ts'

export function connectionRoutes(clock: Clock, registry: Registry, rates: Rates): Route[] {
  const find = (id: string): Connection | undefined => (/^\d{1,15}$/.test(id) ? registry.get(Number(id)) : undefined)
  const known = (id: string, answer: (connection: Connection) => Answer): Answer => {
    const connection = find(id)
    return connection === undefined ? jsonAnswer({ error: 'no such connection; it may have ended, and its line is in the log' }, 404) : answer(connection)
  }
  return [
    {
      method: 'GET',
      path: '/connections',
      summary: 'live connections: ?listener= &protocol= &phase= &client= &upstream= &sort=age|idle|buffered|rate &limit=100',
      async handle({ query: search }) {
        const query = readConnectionQuery(search)
        if (typeof query === 'string') return jsonAnswer({ error: query }, 400)
        await rates.ask()
        const chosen = await selectConnections(clock, registry, query, rates)
        return { status: 200, contentType: 'application/json', body: rowsOf(clock, chosen, rates) }
      },
    },
    {
      method: 'GET',
      path: '/connections/:id',
      summary: 'one of them: what it waits for, and which deadline comes next',
      async handle({ parameter }) {
        await rates.ask()
        return known(parameter, (connection) => jsonAnswer(viewConnectionInFull(connection, clock, rates.of(connection))))
      },
    },
    {
      method: 'DELETE',
      path: '/connections/:id',
      summary: 'ends it with the reason killed',
      handle: ({ parameter }) => known(parameter, kill),
    },
  ]
}

/** One that is on its way out already is hastened, and keeps the reason it has. */
function kill(connection: Connection): Answer {
  connection.owner?.close(makeClose('killed', 'sidegate', connection.phase, 'by an operator'))
  const { id, listener, protocol, clientAddress: client, upstreamAddress: upstream, end } = connection
  if (end === null) return jsonAnswer({ error: 'this connection cannot be ended yet, try again' }, 409)
  const killed: Killed = { id, listener, protocol, client, upstream, close: viewClose(end) }
  return jsonAnswer(killed)
}

/** A JSON array, one row on a line, made as the asker takes it. */
async function* rowsOf(clock: Clock, connections: readonly Connection[], rates: Rates): AsyncGenerator<string> {
  let separator = '[\n'
  for await (const slice of inSlices(clock, connections)) {
    const now = clock.now()
    const rows = slice.map((connection) => JSON.stringify(viewConnection(connection, now, rates.of(connection))))
    yield separator + rows.join(',\n')
    separator = ',\n'
  }
  yield connections.length === 0 ? '[]\n' : '\n]\n'
}
