// Polls the gate while the page is visible. The slower the gate answers, the less often it is asked: requests
// take at most a fifteenth of the time, so that pages left open cost a busy gate nothing. An answer that takes
// seconds waited for something, such as a worker that hangs: the page asks again soon enough to see its end.

import { useEffect, useState } from 'preact/hooks'
import { askIf, NoAnswer, Refused } from './ask.ts'
import { tellStatus } from './status.ts'

const REST_FACTOR = 15
const MOST_REST_MS = 10_000
/** Between two tries of a gate that is gone. */
const RETRY_MS = 2000

export interface Polled<T> {
  /** The last answer; null before the first. */
  value: T | null
  /** The gate's refusal of this request; null if it answered, or did not. */
  problem: string | null
}

interface Answer<T> extends Polled<T> {
  /** The refusal says nothing about the thing asked for, such as that its worker does not answer now. */
  isPassing: boolean
}

export interface Shown<T> extends Polled<T> {
  /** `value` answers an earlier path, and stays until this one is answered: a table does not vanish for a moment with each filter. */
  isOld: boolean
}

/** Requests the current `path`, and calls `use` with each answer, until the returned function is called. */
export function poll<T>(path: () => string, everyMs: number, use: (answer: Answer<T>) => void): () => void {
  let isOver = false
  let isLooking = false
  let timer = 0
  // Of views that the viewer has left, and of a page out of sight, nothing is asked, or those in sight would wait for it.
  const isWanted = (): boolean => !isOver && !document.hidden
  const schedule = (ms: number): void => {
    window.clearTimeout(timer)
    if (!isOver) timer = window.setTimeout(() => void look(), ms)
  }
  const look = async (): Promise<void> => {
    // A page that becomes visible again starts polling anew, unless a question is under way: there would be two polls.
    if (!isWanted() || isLooking) return
    const beganAt = performance.now()
    isLooking = true
    const answer = await tryAsk<T>(isWanted, path())
    isLooking = false
    if (isOver) return
    if (answer !== null) use(answer)
    const rest = Math.min(MOST_REST_MS, REST_FACTOR * (performance.now() - beganAt))
    schedule(answer === null ? RETRY_MS : Math.max(everyMs, rest))
  }
  const onVisible = (): void => {
    if (!document.hidden) schedule(0)
  }
  document.addEventListener('visibilitychange', onVisible)
  schedule(0)
  return () => {
    isOver = true
    window.clearTimeout(timer)
    document.removeEventListener('visibilitychange', onVisible)
  }
}

/** Null without a usable answer: the page reports that once for all requests. */
async function tryAsk<T>(isWanted: () => boolean, path: string): Promise<Answer<T> | null> {
  try {
    const value = await askIf<T>(isWanted, path)
    if (value === null) return null
    tellStatus('answers')
    return { value, problem: null, isPassing: false }
  } catch (error) {
    if (error instanceof Refused && error.status === 401) tellStatus('asksForToken')
    else if (error instanceof Refused && error.status !== 503) {
      tellStatus('answers')
      return { value: null, problem: error.message, isPassing: error.status >= 500 }
    } else if (error instanceof NoAnswer || error instanceof Refused) tellStatus('isGone')
    else throw error
    return null
  }
}

/** The latest answer, which stays while the gate is gone, has a problem of its own, or is asked for another path. */
export function usePoll<T>(path: string, everyMs: number): Shown<T> {
  const [kept, keep] = useState<{ path: string; polled: Polled<T> }>({ path, polled: nothing })
  useEffect(
    () =>
      poll<T>(
        () => path,
        everyMs,
        (answer) =>
          keep((before) => ({ path, polled: before.path === path ? after(before.polled, answer) : answer })),
      ),
    [path, everyMs],
  )
  if (kept.path === path) return { ...kept.polled, isOld: false }
  return { value: kept.polled.value, problem: null, isOld: kept.polled.value !== null }
}

function after<T>(before: Polled<T>, { value, problem, isPassing }: Answer<T>): Polled<T> {
  return { value: isPassing ? before.value : value, problem }
}

const nothing: Polled<never> = { value: null, problem: null }
