// Certificates that are renewed while they are in use: read at start, read again when their files change. What is bad is told
// of and not used: the last good ones stay.

import type { Clock } from '../core/clock.ts'
import { readTlsFiles } from './tls-files.ts'
import type { TlsContents, TlsFileProblem, TlsFiles } from './tls-files.ts'
import { watchFiles } from './watched-files.ts'

export interface RotationOptions {
  files: TlsFiles
  clock: Clock
  /** Takes what was read; what it throws counts as bad files. */
  use: (contents: TlsContents) => void
  /** The files changed, and were taken or, with the problems, were not. */
  onReloaded: (problems: readonly TlsFileProblem[]) => void
}

export class Rotation {
  readonly #options: RotationOptions
  #stopWatching: (() => void) | null = null
  #isStopped = false
  /** One after the other, so that the last change is the one that stays. */
  #reloads: Promise<void> = Promise.resolve()

  constructor(options: RotationOptions) {
    this.#options = options
  }

  /** Reads the files and begins to watch them, unless there are problems. */
  async start(): Promise<readonly TlsFileProblem[]> {
    const { files, clock } = this.#options
    const paths = [files.cert, files.key, files.ca].filter((path) => path !== null)
    // Watched before they are read: a change in between is told, not lost.
    const stop = watchFiles(paths, { clock, onChange: () => void (this.#reloads = this.#reloads.then(() => this.#reload())) })
    const problems = await this.#load()
    if (problems.length > 0 || this.#isStopped) stop()
    else this.#stopWatching = stop
    return problems
  }

  stop(): void {
    this.#isStopped = true
    this.#stopWatching?.()
  }

  async #reload(): Promise<void> {
    if (this.#isStopped) return
    const problems = await this.#load()
    if (!this.#isStopped) this.#options.onReloaded(problems)
  }

  async #load(): Promise<readonly TlsFileProblem[]> {
    const read = await readTlsFiles(this.#options.files)
    if (Array.isArray(read)) return read
    try {
      if (!this.#isStopped) this.#options.use(read)
      return []
    } catch (error) {
      return [{ file: 'cert', message: `cannot be used: ${(error as Error).message}` }]
    }
  }
}
