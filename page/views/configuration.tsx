// The configuration in force: every key with its value and its origin.

import { useMemo, useState } from 'preact/hooks'
import type { Info, OriginsView } from '../../src/admin/types.ts'
import { ASKING, Problem, Scrolls } from '../parts.tsx'
import { usePoll } from '../poll.ts'
import { Fault } from './configuration-state.tsx'

type Origins = Readonly<Record<string, string>>
/** It changes only with a reload, and then this view begins anew. */
const SELDOM_MS = 3_600_000

interface Row {
  path: string
  depth: number
  name: string
  /** Null where the keys below have the values. */
  value: string | null
  origin: string
}

export function ConfigurationInForce({ info }: { info: Info }) {
  const { value, problem } = usePoll<unknown>('config', SELDOM_MS)
  const asked = usePoll<OriginsView>('config/origins', SELDOM_MS)
  const origins = asked.value?.origins ?? null
  // Without origins a default looks like what the file has, so rows wait for them.
  const isAsking = value === null || (asked.value === null && asked.problem === null)
  const [words, search] = useState('')
  const [isWritten, setWritten] = useState(false)
  const rows = useMemo(() => (isAsking ? [] : rowsOf(value, origins)), [value, origins, isAsking])
  const shown = rows.filter(
    (row) =>
      (!isWritten || row.origin !== 'default') &&
      (words === '' || `${row.path} ${row.value}`.includes(words)),
  )
  return (
    <>
      <h2 class="seen-by-readers">Configuration</h2>
      {info.config?.failedAt != null && <Fault />}
      <Problem text={problem} />
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>
          Find
          <input
            type="search"
            value={words}
            placeholder="deadlines.idle"
            onInput={(event) => search(event.currentTarget.value.trim())}
          />
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={isWritten}
            onChange={(event) => setWritten(event.currentTarget.checked)}
          />
          Only what is written
        </label>
      </form>
      {shown.length === 0 ? (
        <p class="empty">{isAsking ? ASKING : 'No key is like that.'}</p>
      ) : (
        <div class="wide">
          <Scrolls label="Configuration">
            <table class="keys">
              <thead>
                <tr>
                  <th scope="col">Key</th>
                  <th scope="col">Value</th>
                  <th scope="col">From</th>
                </tr>
              </thead>
              <tbody>
                {shown.map(({ path, depth, name, value: text, origin }) => (
                  <tr key={path} class={origin === 'default' ? 'quiet' : ''}>
                    <th
                      scope="row"
                      class={`mono depth${isWritten || words !== '' ? 0 : Math.min(depth, 5)}`}
                      title={path}
                    >
                      {isWritten || words !== '' ? path : name}
                    </th>
                    <td class="mono">{text}</td>
                    <td>{text === null ? '' : origin}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scrolls>
        </div>
      )}
    </>
  )
}

function rowsOf(config: unknown, origins: Origins | null): Row[] {
  const rows: Row[] = []
  const walk = (value: unknown, path: string, name: string, depth: number): void => {
    const entries = entriesOf(value)
    if (path !== '')
      rows.push({
        path,
        depth,
        name,
        value: entries === null ? textOf(value) : null,
        origin: origins === null ? '' : (origins[path] ?? 'default'),
      })
    for (const [key, inner] of entries ?? [])
      walk(
        inner,
        Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`,
        Array.isArray(value) ? `${name}[${key}]` : key,
        path === '' ? 0 : depth + 1,
      )
  }
  walk(config, '', '', 0)
  return rows
}

/** Lists of plain values are on one line. */
function entriesOf(value: unknown): Array<[string, unknown]> | null {
  if (typeof value !== 'object' || value === null) return null
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) return null
  return Object.entries(value)
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '[]' : value.join(', ')
  return value === null ? 'not set' : String(value)
}
