// The configuration in effect, and why the one in the file is not, if it is not.

import type { Info } from '../../src/admin/types.ts'
import type { ConfigFault } from '../../src/lifecycle/reload.ts'
import { Fact, Facts } from '../parts.tsx'
import { formatAgo } from '../format.ts'
import { usePoll } from '../poll.ts'
import { linkTo } from '../route.ts'

export function Configuration({ info }: { info: Info }) {
  const { config } = info
  const now = Date.parse(info.startedAt) + info.uptimeMs
  return (
    <section class="card">
      <h2>Configuration</h2>
      {config === null ? (
        <p class="empty">It came from no file.</p>
      ) : (
        <Facts>
          <Fact name="Hash">
            <a class="mono" href={linkTo('configuration')}>
              {config.hash === '' ? 'in force' : config.hash}
            </a>
          </Fact>
          <Fact name="In effect">since {formatAgo(config.appliedAt, now).replace(' ago', '')}</Fact>
          <Fact name="Last error">
            {config.failedAt === null ? 'none' : <span class="odd">{formatAgo(config.failedAt, now)}</span>}
          </Fact>
          {config.restartRequired.length > 0 && (
            <Fact name="Waits for a restart">{config.restartRequired.join(', ')}</Fact>
          )}
        </Facts>
      )}
      {config?.failedAt != null && <Fault />}
    </section>
  )
}

export function Fault() {
  const { value } = usePoll<{ error: ConfigFault | null }>('config/error', 5000)
  const fault = value?.error ?? null
  if (fault === null) return null
  return (
    <div class="problem" role="alert">
      <p>The file cannot be used, so the last good configuration stays in effect.</p>
      <ul>
        {fault.problems.map(({ line, column, path, message }) => (
          <li key={`${line}:${column}`}>
            <span class="mono">
              {line > 0 ? `line ${line}: ` : ''}
              {path}
            </span>{' '}
            {message}
          </li>
        ))}
      </ul>
    </div>
  )
}
