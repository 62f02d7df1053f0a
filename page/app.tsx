// The frame around the views: the gate's name and state, the navigation, and a message while it does not
// answer.

import { useEffect, useState } from 'preact/hooks'
import type { Info } from '../src/admin/types.ts'
import { silentInWords } from '../src/admin/worker-words.ts'
import { ask, keepToken, Refused } from './ask.ts'
import { formatClock } from './format.ts'
import { Answered, Problem } from './parts.tsx'
import { usePoll } from './poll.ts'
import { linkTo, useRoute } from './route.ts'
import type { Route } from './route.ts'
import { tellStatus, useStatus } from './status.ts'
import type { Status } from './status.ts'
import { Advice } from './views/advice.tsx'
import { ConfigurationInForce } from './views/configuration.tsx'
import { OneConnection } from './views/connection.tsx'
import { Connections } from './views/connections.tsx'
import { Control } from './views/control.tsx'
import { Ended } from './views/ended.tsx'
import { Overview } from './views/overview.tsx'

const views = [
  ['', 'Overview'],
  ['connections', 'Connections'],
  ['ended', 'Ended'],
  ['advice', 'Advice'],
  ['configuration', 'Configuration'],
  ['control', 'Control'],
] as const

export function App() {
  const route = useRoute()
  const status = useStatus()
  if (status.word === 'asksForToken') return <AskForToken />
  return <Gate route={route} status={status} />
}

function Gate({ route, status }: { route: Route; status: Status }) {
  const polled = usePoll<Info>('info', 2000)
  const title = views.find(([view]) => view === route.view)?.[1] ?? 'Not found'
  useEffect(() => {
    document.title = `${title} – Sidegate at ${location.host}`
  }, [title])
  return (
    <>
      <a class="skip" href="#main">
        To the content
      </a>
      <Head route={route} info={polled.value} status={status} />
      <main id="main" tabIndex={-1}>
        {status.word === 'isGone' && <Gone status={status} />}
        <Answered polled={polled}>
          {(info) => (
            <>
              <Problem text={silentInWords(info.workers?.silent ?? [])} />
              <View route={route} info={info} />
            </>
          )}
        </Answered>
      </main>
    </>
  )
}

function View({ route, info }: { route: Route; info: Info }) {
  const { view, parameter } = route
  if (view === '') return <Overview info={info} />
  if (view === 'connections' && parameter !== null) return <OneConnection key={parameter} id={parameter} />
  if (view === 'connections') return <Connections route={route} info={info} />
  if (view === 'ended') return <Ended route={route} info={info} />
  if (view === 'advice') return <Advice />
  if (view === 'configuration') return <ConfigurationInForce key={info.config?.appliedAt} info={info} />
  if (view === 'control') return <Control info={info} />
  return <p class="empty">There is no such view.</p>
}

function Head({ route, info, status }: { route: Route; info: Info | null; status: Status }) {
  return (
    <header class="head">
      <div class="title">
        <h1>Sidegate</h1>
        <span class="mono">{location.host}</span>
        <State info={info} status={status} />
      </div>
      <nav aria-label="Views">
        {views.map(([view, name]) => (
          <a key={view} href={linkTo(view)} aria-current={route.view === view ? 'page' : undefined}>
            {name}
          </a>
        ))}
      </nav>
    </header>
  )
}

function State({ info, status }: { info: Info | null; status: Status }) {
  const word = status.word === 'isGone' ? 'no answer' : (info?.state ?? 'asking')
  return (
    <span class={`state ${word.replace(' ', '-')}`} role="status">
      {word}
    </span>
  )
}

/** The last figures stay: they are what a viewer needs just then. */
function Gone({ status }: { status: Status }) {
  return (
    <p class="problem" role="alert">
      The gate does not answer
      {status.answeredAt === null ? '.' : `; what you see is of ${formatClock(status.answeredAt)}.`} It is
      asked again every two seconds. Has it ended, or has the port-forward?
    </p>
  )
}

/** Tries the token before using it: a wrong one makes the gate slow for this address. */
function AskForToken() {
  const [token, setToken] = useState('')
  const [problem, setProblem] = useState<string | null>(null)
  const enter = async (): Promise<void> => {
    keepToken(token)
    try {
      await ask<Info>('info')
      tellStatus('answers')
    } catch (error) {
      keepToken(null)
      const isWrong = error instanceof Refused && error.status === 401
      setProblem(
        isWrong
          ? 'The gate does not take that token.'
          : error instanceof Error
            ? error.message
            : String(error),
      )
    }
  }
  return (
    <main class="token">
      <h1>Sidegate</h1>
      <p>
        This gate asks for a token: what stands in the file of admin.tokenFile. It is kept for this tab only.
      </p>
      <Problem text={problem} />
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void enter()
        }}
      >
        <label>
          Token
          <input
            type="password"
            autocomplete="off"
            required
            value={token}
            onInput={(event) => setToken(event.currentTarget.value.replace(/[^\x21-\x7e]/g, ''))}
          />
        </label>
        <button type="submit">Enter</button>
      </form>
    </main>
  )
}
