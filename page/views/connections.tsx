// The live connections: a table of thousands, of which only the visible rows are in the page.

import { useMemo, useState } from 'preact/hooks'
import type { ConnectionRow, Info, ListenerRow, Sort } from '../../src/admin/types.ts'
import { formatCount, plural } from '../format.ts'
import { ASKING, Choice, Problem, TextFilter } from '../parts.tsx'
import { usePoll } from '../poll.ts'
import { changeQuery } from '../route.ts'
import type { Route } from '../route.ts'
import { columns, compare } from './connection-columns.tsx'
import type { Column } from './connection-columns.tsx'
import { Rows } from './rows.tsx'

const names = ['listener', 'protocol', 'phase', 'state', 'client', 'upstream']
const limits = ['200', '1000', '5000']
const MOST_WITH_WAITS = 1000
const protocols = ['tcp', 'http', 'websocket', 'h2']
const phases = ['admit', 'handshake', 'connect', 'relay', 'close']
const states = ['stalled', 'open', 'idle', 'busy', 'waiting', 'lingering', 'closing']

export function Connections({ route, info }: { route: Route; info: Info }) {
  const { query } = route
  const [order, setOrder] = useState({
    column: columns.find(({ sort }) => sort === query.get('sort')) ?? columns[0]!,
    isUp: false,
  })
  const { value, problem, isOld } = usePoll<ConnectionRow[]>(
    `connections?${questionOf(query, order.column.sort)}`,
    2000,
  )
  const rows = useMemo(
    () => (value === null ? null : value.toSorted(compare(order.column, order.isUp))),
    [value, order],
  )
  const sortBy = (column: Column): void => {
    setOrder({ column, isUp: column === order.column && !order.isUp })
    if (column.sort !== undefined) changeQuery('connections', query, 'sort', column.sort)
  }
  return (
    <>
      <h2 class="seen-by-readers">Connections</h2>
      <Filters query={query} />
      <Problem text={problem} />
      <p class="quiet" role="status">
        {problem === null && (rows === null || isOld ? ASKING : told(rows.length, info.connections, query))}
      </p>
      {rows !== null && rows.length === 0 && !isOld && (
        <p class="empty">{info.connections === 0 ? 'Nobody is connected.' : 'No connection is like that.'}</p>
      )}
      {rows !== null && (rows.length > 0 || isOld) && (
        <Rows rows={rows} isOld={isOld} columns={columns} order={order} onOrder={sortBy} />
      )}
    </>
  )
}

function questionOf(query: URLSearchParams, sort: Sort | undefined): string {
  const limit = query.get('limit') ?? limits[0]!
  const question = new URLSearchParams({ limit, sort: sort ?? 'age' })
  // A viewer scans thousands without reading them: their waits would double the gate's answer.
  if (Number(limit) <= MOST_WITH_WAITS) question.set('wait', '1')
  for (const name of names) if ((query.get(name) ?? '') !== '') question.set(name, query.get(name)!)
  return question.toString()
}

function told(shown: number, open: number, query: URLSearchParams): string {
  const limit = query.get('limit') ?? limits[0]!
  return shown >= Number(limit)
    ? `The first ${formatCount(shown)} of ${plural(open, 'connection')}.`
    : names.some((name) => query.has(name))
      ? `${plural(shown, 'connection')} of ${formatCount(open)}.`
      : `${plural(shown, 'connection')}.`
}

function Filters({ query }: { query: URLSearchParams }) {
  const { value: listeners } = usePoll<ListenerRow[]>('listeners', 30_000)
  const chosen = (name: string): string => query.get(name) ?? ''
  const choice = (name: string, label: string, words: readonly string[], all?: string) => (
    <Choice
      name={name}
      label={label}
      value={chosen(name)}
      words={words}
      {...(all === undefined ? {} : { all })}
      onChange={(word) => changeQuery('connections', query, name, word)}
    />
  )
  const address = (name: string, label: string) => (
    <TextFilter
      label={label}
      value={chosen(name)}
      onChange={(text) => changeQuery('connections', query, name, text)}
    />
  )
  return (
    <form class="filters" onSubmit={(event) => event.preventDefault()}>
      {choice(
        'listener',
        'Listener',
        (listeners ?? []).map(({ name }) => name),
      )}
      {choice('protocol', 'Protocol', protocols)}
      {choice('phase', 'Phase', phases)}
      {choice('state', 'State', states)}
      {address('client', 'Client')}
      {address('upstream', 'Upstream')}
      {choice('limit', 'At most', limits.slice(1), limits[0])}
    </form>
  )
}
