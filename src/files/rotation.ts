// Certificates that are renewed while they are in use: read at start, and again when their files change. Bad
// files are logged and not used: the last good ones stay. A certificate that is not valid yet is tried again
// when it is.

import type { Clock } from '../core/clock.ts'
import { objections, validFrom } from './renewal.ts'
import { readTlsFiles } from './tls-files.ts'
import type { TlsContents, TlsFileProblem, TlsFiles, Validities } from './tls-files.ts'
import { watchFiles } from './watched-files.ts'

export interface RotationOptions {
  files: TlsFiles
  clock: Clock
  /** Takes the contents; an error that it throws counts as bad files. */
  use: (contents: TlsContents) => void
  /** The files changed, and were taken or, with the problems, were not. */
  onReloaded: (problems: readonly TlsFileProblem[]) => void
}

/** The longest timer: Node's timers cannot reach a certificate for the year after next. */
const LONGEST_WAIT_MS = 24 * 3600 * 1000

export class Rotation {
  readonly #options: RotationOptions
  /** Null before the start, and where nothing was in use before. */
  #inUse: Validities | null
  #cancelRetry: (() => void) | null = null
  #stopWatching: (() => void) | null = null
  #isStopped = false
  /** Reloads run one after the other, so that the last change is the one that stays. */
  #reloads: Promise<void> = Promise.resolve()

  /** `before` are the certificates in use that the files replace, if they come from other files. */
  constructor(options: RotationOptions, before: Validities | null = null) {
    this.#options = options
    this.#inUse = before
  }

  get inUse(): Validities | null {
    return this.#inUse
  }

  /** Reads the files and begins to watch them, unless there are problems. */
  async start(): Promise<readonly TlsFileProblem[]> {
    const { files, clock } = this.#options
    const paths = [files.cert, files.key, files.ca].filter((path) => path !== null)
    // The watch starts before the read, so that a change in between is noticed.
    const stop = watchFiles(paths, { clock, onChange: () => this.#reloadNext() })
    const problems = await this.#load()
    if (problems.length > 0 || this.#isStopped) stop()
    else this.#stopWatching = stop
    return problems
  }

  stop(): void {
    this.#isStopped = true
    this.#stopWatching?.()
    this.#cancelRetry?.()
  }

  #reloadNext(): void {
    this.#reloads = this.#reloads.then(() => this.#reload())
  }

  async #reload(): Promise<void> {
    if (this.#isStopped) return
    const problems = await this.#load()
    if (!this.#isStopped) this.#options.onReloaded(problems)
  }

  async #load(): Promise<readonly TlsFileProblem[]> {
    const { files, clock, use } = this.#options
    const read = await readTlsFiles(files)
    if (Array.isArray(read)) return read
    const problems = objections(read, this.#inUse, clock.wall())
    if (this.#isStopped) return problems
    this.#retryWhenValid(problems.length === 0 ? null : validFrom(read, clock.wall()))
    if (problems.length > 0) return problems
    try {
      use(read)
      this.#inUse = { leaf: read.leaf, authorities: read.authorities }
      return []
    } catch (error) {
      return [{ file: 'cert', message: `cannot be used: ${(error as Error).message}` }]
    }
  }

  #retryWhenValid(at: number | null): void {
    const { clock } = this.#options
    this.#cancelRetry?.()
    // A timer may be early by a moment.
    this.#cancelRetry =
      at === null
        ? null
        : clock.after(Math.min(at - clock.wall() + 1000, LONGEST_WAIT_MS), () => this.#reloadNext())
  }
}
