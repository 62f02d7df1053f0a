// Polls the gate while the page is visible. The slower the gate answers, the less often it is asked: requests
// take at most a fifteenth of the time, so that pages left open cost a busy gate nothing. An answer that takes
// seconds waited for something, such as a worker that hangs: the page asks again soon enough to see its end.

import { useEffect, useState } from 'preact/hooks'
import { ask, NoAnswer, Refused } from './ask.ts'
import { tellStatus } from './status.ts'

const REST_FACTOR = 15
const MOST_REST_MS = 10_000
/** Between two tries of a gate that is gone. */
const RETRY_MS = 2000

export interface Polled<T> {
  value: T | null
  /** The gate's refusal of this request; null if it answered, or did not. */
  problem: string | null
}

/** Requests the current `path`, and calls `use` with each answer, until the returned function is called. */
export function poll<T>(path: () => string, everyMs: number, use: (polled: Polled<T>) => void): () => void {
  let isOver = false
  let timer = 0
  const schedule = (ms: number): void => {
    if (!isOver) timer = window.setTimeout(() => void look(), ms)
  }
  const look = async (): Promise<void> => {
    // A page that becomes visible again starts polling anew.
    if (document.hidden) return
    const beganAt = performance.now()
    const answer = await tryAsk<T>(path())
    if (isOver) return
    if (answer !== null) use(answer)
    const rest = Math.min(MOST_REST_MS, REST_FACTOR * (performance.now() - beganAt))
    schedule(answer === null ? RETRY_MS : Math.max(everyMs, rest))
  }
  const onVisible = (): void => {
    window.clearTimeout(timer)
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
async function tryAsk<T>(path: string): Promise<Polled<T> | null> {
  try {
    const value = await ask<T>(path)
    tellStatus('answers')
    return { value, problem: null }
  } catch (error) {
    if (error instanceof Refused && error.status === 401) tellStatus('asksForToken')
    else if (error instanceof Refused && error.status !== 503) {
      tellStatus('answers')
      return { value: null, problem: error.message }
    } else if (error instanceof NoAnswer || error instanceof Refused) tellStatus('isGone')
    else throw error
    return null
  }
}

/** The latest answer. While the gate is gone, the last one stays; another path begins with none. */
export function usePoll<T>(path: string | null, everyMs: number): Polled<T> {
  const [kept, keep] = useState<{ path: string | null; polled: Polled<T> }>({ path, polled: nothing })
  useEffect(() => {
    if (path === null) return undefined
    return poll<T>(
      () => path,
      everyMs,
      (polled) => keep({ path, polled }),
    )
  }, [path, everyMs])
  return kept.path === path ? kept.polled : nothing
}

const nothing: Polled<never> = { value: null, problem: null }
