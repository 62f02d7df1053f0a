// Waits for the demo; time comes from the one Clock.

import { systemClock } from '../core/clock.ts'

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void systemClock.after(ms, resolve))
}

/** `promise`, but rejects after `ms`: a scene that hangs must not hang the show. */
export async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const cancel = systemClock.after(ms, () => reject(new Error(`${what}: nothing after ${ms / 1000} s`)))
  try {
    return await Promise.race([promise, late])
  } finally {
    cancel()
  }
}
