// Waiting without sleeping: every wait of a test names what it waits for and has a bound, so that a hang is a sentence
// in the report and not a timeout of the whole file.

import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'

export interface Wait {
  /** Milliseconds until the wait fails; by default WITHIN_MS. */
  withinMs?: number
  /** Finishes the sentence "waited 5000 ms for ...". */
  what?: string
  /** Milliseconds between two looks that cost much; else the pause grows with the wait. */
  everyMs?: number
}

/** Long for an event that comes at once, since a busy machine takes seconds for it. stopwatch.ts judges events that may not come late. */
export const WITHIN_MS = 20_000

const POLL_MS = 3
/** The longest pause between two looks, which grow longer with the wait: hundreds of tests wait at a time, and each look costs. */
const SELDOM_MS = 10
/** The same for a look that asks another process, which costs both of them. */
const SELDOM_ASKED_MS = 150

/** Calls `look` every few milliseconds until it returns a truthy value, and resolves with that. */
export async function eventually<T>(look: () => T | Promise<T>, wait: Wait = {}): Promise<NonNullable<T>> {
  const withinMs = wait.withinMs ?? WITHIN_MS
  const from = performance.now()
  for (;;) {
    const waitedMs = performance.now() - from
    const looked = look()
    const seen = await looked
    if (seen) return seen
    if (waitedMs >= withinMs) throw new Error(`waited ${withinMs} ms for ${wait.what ?? look.toString()}`)
    const pollMs =
      looked instanceof Promise
        ? Math.min(waitedMs / 20, SELDOM_ASKED_MS)
        : Math.min(waitedMs / 100, SELDOM_MS)
    await delay(wait.everyMs ?? Math.max(POLL_MS, pollMs))
  }
}

/** The promise, or an error that names the wait. */
export async function within<T>(promise: Promise<T>, wait: Wait = {}): Promise<T> {
  const withinMs = wait.withinMs ?? WITHIN_MS
  const late = Promise.withResolvers<never>()
  const error = new Error(`waited ${withinMs} ms for ${wait.what ?? 'a promise'}`)
  const timer = setTimeout(() => late.reject(error), withinMs)
  try {
    return await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** True when the promise is settled by the next turn of the event loop. */
export async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const settle = () => void (settled = true)
  promise.then(settle, settle)
  await turn()
  return settled
}
