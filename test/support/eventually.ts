// Waiting without sleeping: every wait of a test names what it waits for and has a bound, so that a hang is a sentence
// in the report and not a timeout of the whole file.

import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'

export interface Wait {
  /** Milliseconds until the wait fails; 5000 unless told. */
  withinMs?: number
  /** Finishes the sentence "waited 5000 ms for ...". */
  what?: string
}

export const WITHIN_MS = 5000

/** Polls every few milliseconds until `look` gives something truthy, and resolves with it. */
export async function eventually<T>(look: () => T | Promise<T>, wait: Wait = {}): Promise<NonNullable<T>> {
  const withinMs = wait.withinMs ?? WITHIN_MS
  const until = performance.now() + withinMs
  for (;;) {
    const isLast = performance.now() >= until
    const seen = await look()
    if (seen) return seen
    if (isLast) throw new Error(`waited ${withinMs} ms for ${wait.what ?? look.toString()}`)
    await delay(3)
  }
}

/** The promise, or an error that says what was waited for. */
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
