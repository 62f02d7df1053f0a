// Notices that the configuration file may have changed. Whether it has is for the asker to find out, by its content.
//
// Kubernetes swaps a mounted ConfigMap by renaming the symlink `..data` beside the file: a watch of the file hears the first
// swap and no other, a watch of its directory hears all. A slow poll is the net below: network mounts tell nothing, and a
// watch may die with its directory.

import { watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { Clock } from '../clock.ts'

/** From the first sign to the look: an editor writes a file in several steps. */
export const SETTLE_MS = 500
export const POLL_MS = 15_000

export interface ConfigWatchOptions {
  file: string
  clock: Clock
  /** To be looked at. Called again only after `SETTLE_MS`, however much goes on in the directory. */
  onChange: () => void
}

export class ConfigWatch {
  readonly #options: ConfigWatchOptions
  #watcher: FSWatcher | null = null
  #settling: (() => void) | null = null
  readonly #stopPolling: () => void

  constructor(options: ConfigWatchOptions) {
    this.#options = options
    this.#watch()
    this.#stopPolling = options.clock.every(POLL_MS, () => {
      if (this.#watcher === null) this.#watch()
      options.onChange()
    })
  }

  stop(): void {
    this.#stopPolling()
    this.#settling?.()
    this.#settling = null
    this.#unwatch()
  }

  #watch(): void {
    try {
      this.#watcher = watch(dirname(this.#options.file), { persistent: false }, (_event, name) => this.#onEvent(name))
      this.#watcher.on('error', () => this.#unwatch())
    } catch {
      // No such directory, or no more watches in this system: the poll remains, and tries again.
      this.#watcher = null
    }
  }

  #unwatch(): void {
    this.#watcher?.close()
    this.#watcher = null
  }

  #onEvent(name: string | null): void {
    const { file, clock, onChange } = this.#options
    const isOurs = name === null || name === basename(file) || name.startsWith('..')
    if (!isOurs || this.#settling !== null) return
    this.#settling = clock.after(SETTLE_MS, () => {
      this.#settling = null
      onChange()
    })
  }
}
