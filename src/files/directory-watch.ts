// Tells that something may have changed in the directories of files. Whether it has is for the asker to find out, by content.
//
// Kubernetes swaps a mounted ConfigMap or Secret by renaming the symlink `..data` beside the files: a watch of a file hears the first
// swap and no other, a watch of its directory hears all. A slow poll is the net below: network mounts tell nothing, and a
// watch may die with its directory.

import { watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { dirname } from 'node:path'
import type { Clock } from '../core/clock.ts'

/** From the first sign to the look: a swap is several events, and an editor writes a file in several steps. */
export const SETTLE_MS = 500
export const POLL_MS = 15_000

export interface DirectoryWatchOptions {
  /** Those whose directories are watched. */
  files: readonly string[]
  clock: Clock
  /** Whether an event of that name in the directory is a sign; null where the system did not tell the name. */
  isSign: (name: string | null) => boolean
  /** To be looked at: with each poll, and `SETTLE_MS` after a sign, once for all signs until then. */
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
        // No such directory (any more), or no more watches in this system: the poll remains, and tries again.
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
