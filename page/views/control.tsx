// An operator's actions on the gate: drain and undo, reload, the level of the log, profiles.

import { useRef, useState } from 'preact/hooks'
import type { DrainView, Info, LevelView } from '../../src/admin/types.ts'
import type { ReloadResult } from '../../src/lifecycle/reload.ts'
import { ask, download } from '../ask.ts'
import { formatClock } from '../format.ts'
import { Confirm, Problem } from '../parts.tsx'
import type { Question } from '../parts.tsx'
import { usePoll } from '../poll.ts'

/** The result of the last action of a card. */
interface Outcome {
  said: string | null
  problem: string | null
}

export function Control({ info }: { info: Info }) {
  const [question, setQuestion] = useState<Question | null>(null)
  return (
    <div class="columns">
      <h2 class="seen-by-readers">Control</h2>
      <Drain info={info} onQuestion={setQuestion} />
      <Reload />
      <LogLevel />
      <Profiles onQuestion={setQuestion} />
      <Confirm question={question} onDone={() => setQuestion(null)} />
    </div>
  )
}

/** Runs actions one at a time, and shows the result of each. */
function useAction(): [Outcome & { isBusy: boolean }, (act: () => Promise<string>) => void] {
  const [outcome, tell] = useState<Outcome & { isBusy: boolean }>({
    said: null,
    problem: null,
    isBusy: false,
  })
  const run = (act: () => Promise<string>): void => {
    tell({ said: null, problem: null, isBusy: true })
    act().then(
      (said) => tell({ said, problem: null, isBusy: false }),
      (error: unknown) =>
        tell({ said: null, problem: error instanceof Error ? error.message : String(error), isBusy: false }),
    )
  }
  return [outcome, run]
}

function Said({ outcome }: { outcome: Outcome }) {
  return (
    <>
      <Problem text={outcome.problem} />
      <p role="status">{outcome.said}</p>
    </>
  )
}

const drainStates: Record<Info['drain'], string> = {
  none: 'Not draining.',
  announced:
    'Not ready any more, and still accepting until drain.minDuration is over. It can be undone until then.',
  parting: 'Connections are asked to go.',
  finished: 'Drained: no connection is left.',
}

function Drain({ info, onQuestion }: { info: Info; onQuestion: (question: Question) => void }) {
  const [outcome, run] = useAction()
  const question: Question = {
    title: 'Drain this gate?',
    text: 'It stops being ready, then asks every connection to go, and resets those that are left at drain.timeout.',
    verb: 'Drain',
    act: async () => void (await ask<DrainView>('drain', 'POST')),
  }
  const undo = async (): Promise<string> => {
    await ask<DrainView>('drain?undo=1', 'POST')
    return 'The drain was undone.'
  }
  return (
    <section class="card">
      <h2>Drain</h2>
      <p>{drainStates[info.drain]}</p>
      <div class="buttons">
        <button
          type="button"
          class="danger"
          disabled={info.drain !== 'none'}
          onClick={() => onQuestion(question)}
        >
          Drain
        </button>
        <button
          type="button"
          disabled={info.drain !== 'announced' || outcome.isBusy}
          onClick={() => run(undo)}
        >
          Undo
        </button>
      </div>
      <Said outcome={outcome} />
    </section>
  )
}

function Reload() {
  const [outcome, run] = useAction()
  const reload = async (): Promise<string> => {
    const result = await ask<ReloadResult>('reload', 'POST')
    if (result.result !== 'success') return result.problems.join(' ')
    return result.restartRequired.length === 0
      ? `The file is in effect: ${result.hash}.`
      : `The file is in effect: ${result.hash}. These keys wait for a restart: ${result.restartRequired.join(', ')}.`
  }
  return (
    <section class="card">
      <h2>Configuration file</h2>
      <p>
        Reads it again and applies it, whole or not at all. A changed file is noticed without this, within
        seconds.
      </p>
      <div class="buttons">
        <button type="button" disabled={outcome.isBusy} onClick={() => run(reload)}>
          Reload
        </button>
      </div>
      <Said outcome={outcome} />
    </section>
  )
}

function LogLevel() {
  const { value } = usePoll<LevelView>('log', 5000)
  const latest = useRef(value)
  latest.current = value
  const [set, setSet] = useState<{ view: LevelView; over: LevelView | null } | null>(null)
  const [level, choose] = useState('debug')
  const [time, setTime] = useState('5m')
  const [outcome, run] = useAction()
  // The next answer is newer than what was set: the level may have gone back.
  const now = set !== null && set.over === value ? set.view : value
  const change = async (): Promise<string> => {
    const query = new URLSearchParams(time === '' ? { level } : { level, for: time })
    const view = await ask<LevelView>(`log?${query}`, 'POST')
    setSet({ view, over: latest.current })
    return view.goesBackAt === null
      ? `The level is ${view.level}.`
      : `The level is ${view.level} until ${formatClock(view.goesBackAt)}, then ${view.goesBackTo} again.`
  }
  return (
    <section class="card">
      <h2>Log</h2>
      <p>The level is {now?.level ?? 'not known yet'}.</p>
      <div class="buttons">
        <label>
          Level
          <select value={level} onChange={(event) => choose(event.currentTarget.value)}>
            {['error', 'warn', 'info', 'debug'].map((word) => (
              <option key={word}>{word}</option>
            ))}
          </select>
        </label>
        <label>
          For
          <input
            value={time}
            size={5}
            placeholder="good"
            onInput={(event) => setTime(event.currentTarget.value.trim())}
          />
        </label>
        <button type="button" disabled={outcome.isBusy} onClick={() => run(change)}>
          Set
        </button>
      </div>
      <Said outcome={outcome} />
    </section>
  )
}

const profiles = [
  { name: 'CPU, 10 s', path: 'debug/cpuprofile?seconds=10' },
  { name: 'Heap, 30 s', path: 'debug/heapprofile?seconds=30' },
]

function Profiles({ onQuestion }: { onQuestion: (question: Question) => void }) {
  const [outcome, run] = useAction()
  const take = (path: string) => async (): Promise<string> => {
    const { name, blob } = await download(path)
    save(name, blob)
    return `${name} is in your downloads; Chrome’s DevTools open it.`
  }
  const snapshot: Question = {
    title: 'Take a snapshot of the heap?',
    text: 'The whole gate stands still until it is written, for seconds if the heap is large. A liveness probe may fail meanwhile.',
    verb: 'Take it',
    act: async () => run(take('debug/heapsnapshot')),
  }
  return (
    <section class="card">
      <h2>Profiles</h2>
      <p>
        Files for Chrome’s DevTools. A CPU profile costs a few per cent while it runs, a heap profile hardly
        anything.
      </p>
      <div class="buttons">
        {profiles.map(({ name, path }) => (
          <button type="button" key={path} disabled={outcome.isBusy} onClick={() => run(take(path))}>
            {name}
          </button>
        ))}
        <button type="button" disabled={outcome.isBusy} onClick={() => onQuestion(snapshot)}>
          Heap snapshot
        </button>
      </div>
      {outcome.isBusy && <p role="status">Being taken …</p>}
      <Said outcome={outcome} />
    </section>
  )
}

function save(name: string, blob: Blob): void {
  const url = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
