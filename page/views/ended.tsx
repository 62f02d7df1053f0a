// The connections that have just ended, and why: the newest first, each with its timeline and the meaning of
// its reason.

import { useState } from 'preact/hooks'
import type { Info, ListenerRow, RecentEnd } from '../../src/admin/types.ts'
import { configValue } from '../../src/admin/config-value.ts'
import { whyItEnded } from '../../src/admin/why.ts'
import { lostInWords } from '../../src/admin/worker-words.ts'
import { reasonNames } from '../../src/core/close.ts'
import { formatAge, formatBytes, formatClock, formatCount, plural } from '../format.ts'
import {
  Answered,
  ASKING,
  causesOf,
  Choice,
  Fact,
  Facts,
  meaningOf,
  ReasonWord,
  TextFilter,
  Words,
} from '../parts.tsx'
import { usePoll } from '../poll.ts'
import { changeQuery } from '../route.ts'
import type { Route } from '../route.ts'
import { TimelineList } from '../timeline.tsx'

const MOST = 1000
const SELDOM_MS = 3_600_000
/** More rows than anybody reads would make the page slow; a viewer who looks for one filters. */
const SHOWN = 200
const names = ['reason', 'listener', 'client']

export function Ended({ route, info }: { route: Route; info: Info }) {
  const { query } = route
  const question = new URLSearchParams({ limit: String(MOST) })
  for (const name of names) if (query.has(name)) question.set(name, query.get(name)!)
  const polled = usePoll<RecentEnd[]>(`recent?${question}`, 5000)
  const [opened, open] = useState<string | null>(null)
  return (
    <>
      <h2 class="seen-by-readers">Recently ended</h2>
      <Filters query={query} />
      <Answered polled={polled}>
        {(ends) => (
          <>
            <Reasons ends={ends} query={query} />
            {ends.length === 0 && <p class="empty">{polled.isOld ? ASKING : nothingLike(query, info)}</p>}
            <Ends ends={ends} opened={opened} onOpen={open} />
          </>
        )}
      </Answered>
      {info.workers?.lastEnd && <p class="quiet">{lostInWords(info.workers.lastEnd)}</p>}
    </>
  )
}

function nothingLike(query: URLSearchParams, info: Info): string {
  return names.some((name) => query.has(name))
    ? 'Nothing that has ended lately is like that.'
    : `Nothing has ended since the gate began, ${formatAge(info.uptimeMs)} ago.`
}

interface EndsProps {
  ends: readonly RecentEnd[]
  /** The key of the one whose story is told. */
  opened: string | null
  onOpen: (key: string | null) => void
}

function Ends({ ends, opened, onOpen }: EndsProps) {
  return (
    <>
      {ends.length > 0 && (
        <ul class="ends">
          {ends.slice(0, SHOWN).map((end) => (
            <End
              key={keyOf(end)}
              end={end}
              isOpen={opened === keyOf(end)}
              onOpen={(isOpen) => onOpen(isOpen ? keyOf(end) : null)}
            />
          ))}
        </ul>
      )}
      {ends.length > SHOWN && (
        <p class="quiet">
          The newest {SHOWN} of {formatCount(ends.length)}. Narrow them down to see others.
        </p>
      )}
    </>
  )
}

function keyOf({ id, started, reason, client }: RecentEnd): string {
  return `${id} ${started} ${reason} ${client}`
}

/** How many of each reason, with a link that filters by it. */
function Reasons({ ends, query }: { ends: readonly RecentEnd[]; query: URLSearchParams }) {
  const counts = new Map<string, number>()
  for (const { reason, count } of ends) counts.set(reason, (counts.get(reason) ?? 0) + count)
  if (counts.size === 0) return null
  const sorted = [...counts].sort(([, one], [, other]) => other - one)
  return (
    <p class="reasons">
      {sorted.map(([reason, count]) => (
        <button
          type="button"
          key={reason}
          title={meaningOf(reason)}
          onClick={() => changeQuery('ended', query, 'reason', query.get('reason') === reason ? '' : reason)}
        >
          <ReasonWord reason={reason} /> {formatCount(count)}
        </button>
      ))}
    </p>
  )
}

function Filters({ query }: { query: URLSearchParams }) {
  const { value: listeners } = usePoll<ListenerRow[]>('listeners', 30_000)
  const choice = (name: string, label: string, words: readonly string[]) => (
    <Choice
      name={name}
      label={label}
      value={query.get(name) ?? ''}
      words={words}
      onChange={(word) => changeQuery('ended', query, name, word)}
    />
  )
  return (
    <form class="filters" onSubmit={(event) => event.preventDefault()}>
      {choice('reason', 'Reason', reasonNames)}
      {choice(
        'listener',
        'Listener',
        (listeners ?? []).map(({ name }) => name),
      )}
      <TextFilter
        label="Client"
        value={query.get('client') ?? ''}
        onChange={(text) => changeQuery('ended', query, 'client', text)}
      />
    </form>
  )
}

interface EndProps {
  end: RecentEnd
  isOpen: boolean
  onOpen: (isOpen: boolean) => void
}

function End({ end, isOpen, onOpen }: EndProps) {
  const { ended, reason, side, client, count, listener, durationMs, id } = end
  return (
    <li>
      <button type="button" class="end" aria-expanded={isOpen} onClick={() => onOpen(!isOpen)}>
        <time dateTime={ended}>{formatClock(ended)}</time>
        <ReasonWord reason={reason} side={side} />
        <span class="mono">{client ?? (count > 1 ? `${formatCount(count)} of them` : 'nobody looked')}</span>
        <span class="quiet">{listener}</span>
        <span class="right">{id === null ? 'refused' : formatAge(durationMs)}</span>
      </button>
      {isOpen && <Story end={end} />}
    </li>
  )
}

function Story({ end }: { end: RecentEnd }) {
  const { value: config } = usePoll<unknown>('config', SELDOM_MS)
  const { reason, phase, upstream, bytesToUpstream, bytesToClient, messagesToUpstream, messagesToClient } =
    end
  const messages = messagesToUpstream + messagesToClient
  const sentences = whyItEnded(end, (key) =>
    config === null ? null : configValue(config, end.listener, key),
  )
  return (
    <div class="story">
      <p>{sentences.join(' ')}</p>
      <p class="quiet">
        <Words text={causesOf(reason)} />
      </p>
      <Facts>
        <Fact name="Upstream">
          <span class="mono">{upstream ?? 'none'}</span>
        </Fact>
        <Fact name="Phase">{phase}</Fact>
        <Fact name="From the client">{formatBytes(bytesToUpstream)}</Fact>
        <Fact name="From the upstream">{formatBytes(bytesToClient)}</Fact>
        {messages > 0 && <Fact name="WebSocket">{plural(messages, 'message')}</Fact>}
      </Facts>
      <TimelineList timeline={end.timeline} />
    </div>
  )
}
