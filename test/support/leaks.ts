// The resources of the process: handles that keep the event loop awake, and descriptors.

import type { Test } from 'tap'
import { once } from 'node:events'
import { readdirSync, watch } from 'node:fs'
import net from 'node:net'
import { kernelQueue } from '../../src/endpoint/kernel-queue.ts'
import { eventually } from './eventually.ts'

// The first socket of a process leaves /dev/null open for ever (libuv's reserve for EMFILE), which is no leak: open it now.
const first = net.createServer().listen(0, '127.0.0.1')
await once(first, 'listening')
first.close()
await eventually(() => !process.getActiveResourcesInfo().includes('TCPServerWrap'))
// And the first watch leaves the descriptor of inotify.
watch('.', { persistent: false }).close()
// And the look into the kernel keeps its tables open.
await kernelQueue.prepare()

/** The number of each kind; `fd` is the number of open descriptors. */
export type Resources = Record<string, number>

export function resources(): Resources {
  const held: Resources = { fd: readdirSync('/proc/self/fd').length }
  for (const kind of process.getActiveResourcesInfo()) held[kind] = (held[kind] ?? 0) + 1
  return held
}

/** One line for each kind that has grown, such as `TCPSocketWrap: 2 before, 3 now`. */
export function leaks(before: Resources, now: Resources = resources()): string[] {
  return Object.entries(now)
    .filter(([kind, count]) => count > (before[kind] ?? 0))
    .map(([kind, count]) => `${kind}: ${before[kind] ?? 0} before, ${count} now`)
}

/** Waits until the process holds no more than before; fails with the difference. */
export async function assertNoLeaks(
  t: Test,
  before: Resources,
  options: { withinMs?: number } = {},
): Promise<void> {
  let found: string[] = []
  const isClean = () => (found = leaks(before)).length === 0
  const clean = await eventually(isClean, options).catch(() => false)
  t.ok(clean, 'nothing is held that was not held before', { diagnostic: !clean, leaks: found })
}

/** The first line of a wire test: after all later teardowns, the test fails if the process holds more than now. */
export function watchLeaks(t: Test, options: { withinMs?: number } = {}): void {
  const before = resources()
  t.teardown(async () => {
    let found: string[] = []
    const isClean = () => (found = leaks(before)).length === 0
    // Thrown: tap takes no assertion once a test has ended.
    await eventually(isClean, options).catch(() => {
      throw new Error(`left behind: ${found.join('; ')}`)
    })
  })
}
