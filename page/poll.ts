// Asks again and again, while somebody can see the page. The slower the gate answers, the more seldom it is asked: at most a fifteenth of
// the time goes to a question, so that pages left open cost a busy gate nothing.

import { useEffect, useState } from 'preact/hooks'
import { ask, NoAnswer, Refused } from './ask.ts'
import { tellStatus } from './status.ts'

const REST_FACTOR = 15
/** Between two tries of a gate that is gone. */
const RETRY_MS = 2000

export interface Polled<T> {
  value: T | null
  /** What the gate said to this question instead; null where it answered, or said nothing. */
  problem: string | null
}

/** Asks what `path` says at that moment, and calls `use` with each answer, until the returned function is called. */
export function poll<T>(path: () => string, everyMs: number, use: (polled: Polled<T>) => void): () => void {
  let isOver = false
  let timer = 0
  const schedule = (ms: number): void => {
    if (!isOver) timer = window.setTimeout(() => void look(), ms)
  }
  const look = async (): Promise<void> => {
    // Seen again, it begins anew.
    if (document.hidden) return
    const beganAt = performance.now()
    const answer = await tryAsk<T>(path())
    if (isOver) return
    if (answer !== null) use(answer)
    schedule(answer === null ? RETRY_MS : Math.max(everyMs, REST_FACTOR * (performance.now() - beganAt)))
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

/** Null where there was no answer that means anything: the page says so for all questions at once. */
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

/** The answer of now. While the gate is gone, the last one stays; another path begins with none. */
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
