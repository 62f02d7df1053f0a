// A watch over the directories of files: reports that a file may have changed. The caller compares the
// content.
//
// Kubernetes swaps a mounted ConfigMap or Secret by renaming the symlink `..data` beside the files: a watch
// of a file sees the first swap and no other, a watch of its directory sees all. A slow poll is the safety
// net: network mounts report nothing, and a watch may die with its directory.

import { watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'

/**
 * From the first sign to the call: a swap is several events, and an editor writes a file in several steps.
 */
export const SETTLE_MS = 500
export const POLL_MS = 15_000

export interface DirectoryWatchOptions {
  /** The files whose directories are watched. */
  files: readonly string[]
  clock: Clock
  /** Whether an event of that name in the directory is a sign; null where the system gave no name. */
  isSign: (name: string | null) => boolean
  /** Called with each poll, and `SETTLE_MS` after a sign, once for all signs until then. */
  onChange: () => void
}

export class DirectoryWatch {
  readonly #options: DirectoryWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #stopPolling: () => void
  #stopSettling: (() => void) | null = null

  constructor(options: DirectoryWatchOptions) {
    this.#options = options
    this.#watch()
    this.#stopPolling = options.clock.every(POLL_MS, () => {
      this.#watch()
      options.onChange()
    })
  }

  stop(): void {
    this.#stopPolling()
    this.#stopSettling?.()
    this.#stopSettling = null
    for (const directory of [...this.#watchers.keys()]) this.#drop(directory)
  }

  #watch(): void {
    for (const directory of new Set(this.#options.files.map((file) => dirname(file)))) {
      if (this.#watchers.has(directory)) continue
      try {
        const watcher = watch(directory, { persistent: false }, (_event, name) => this.#onEvent(name))
        watcher.on('error', () => this.#drop(directory))
        this.#watchers.set(directory, watcher)
      } catch {
        // The directory does not exist (any more), or the system has no more watches: the poll remains, and
        // tries again.
      }
    }
  }

  #drop(directory: string): void {
    this.#watchers.get(directory)?.close()
    this.#watchers.delete(directory)
  }

  #onEvent(name: string | null): void {
    const { clock, isSign, onChange } = this.#options
    if (!isSign(name)) return
    this.#stopSettling ??= clock.after(SETTLE_MS, () => {
      this.#stopSettling = null
      onChange()
    })
  }
}
