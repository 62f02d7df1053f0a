// Reloads: a changed configuration is applied, whole or not at all, one at a time. An unusable file changes
// nothing: its fault is logged once, counted, and kept for display; neither liveness nor readiness depends on
// it.
//
//     reload() ----------------------> load --> apply --> the last good one is the new one
//     a look, if the content changed --^  |        |
//                                         +--------+----> fault; the last good one stays
//
// Loading and applying are handed in, so that this file knows no key of the configuration.

import type { Clock } from '../core/clock.ts'
import type { ConfigProblem, Places, Written } from '../core/errors.ts'
import { ConfigError, formatProblem, placedError } from '../core/errors.ts'
import { Whole } from '../log/line.ts'
import type { Log } from '../log/log.ts'

export type ReloadTrigger = 'admin' | 'SIGHUP' | 'file'

/** The present contents of a configuration file, or why they cannot be used. */
export interface LoadedConfig<C> {
  hash: string
  /**
   * `origins` names, for the path of each value that is not a default, the origin of the value; `places` its
   * position in the file.
   */
  outcome:
    | {
        config: C
        warnings: readonly ConfigProblem[]
        origins: Readonly<Record<string, string>>
        places: Places
      }
    | ConfigError
  /** The error is not the file's fault, and may be gone another time: the next look tries again. */
  isUndecided: boolean
}

/** The contents of a file: its bytes, or why they cannot be read. */
export type Content = Buffer | ConfigError

export interface ConfigSource<C> {
  file: string
  /** The present content. */
  read(): Promise<Content>
  load(content: Content): Promise<LoadedConfig<C>>
}

function isSameContent(a: Content | null, b: Content | null): boolean {
  if (a instanceof ConfigError || b instanceof ConfigError)
    return a instanceof ConfigError && b instanceof ConfigError && a.message === b.message
  return a !== null && b !== null && a.equals(b)
}

export type ReloadResult =
  /** `restartRequired` are keys whose new values wait for a restart. */
  | { result: 'success'; hash: string; restartRequired: readonly string[] }
  | { result: 'failure'; problems: readonly string[] }
  /** Not the file's fault: nothing was tried, or it was undone. */
  | { result: 'refused'; problems: readonly string[] }

/** Why the present file is not in effect. */
export interface ConfigFault {
  /** Wall-clock milliseconds. */
  at: number
  hash: string
  file: string
  problems: readonly ConfigProblem[]
}

/** A reload at a wrong time. */
export class ReloadRefused extends Error {}

export interface ReloadParts<C> {
  clock: Clock
  log: Log
  source: ConfigSource<C> | null
  /** The hash of the configuration at the start. */
  hash: string
  /** The content at the start; null where it is unknown. */
  content: Content | null
  /** All or nothing: rejects with a ConfigError or ReloadRefused; resolves with keys that need a restart. */
  apply: (config: C, written: Written) => Promise<readonly string[]>
}

export class Reloads<C> {
  readonly #parts: ReloadParts<C>
  /** The content of the last attempt, good or bad: a bad file is reported once. */
  #tried: Content | null
  #running: Promise<ReloadResult> | null = null
  /** The reload after the running one, for all callers meanwhile: it reads the file after their calls. */
  #next: Promise<ReloadResult> | null = null
  /** The hash of the configuration in effect. */
  hash: string
  #content: Content | null
  #readingOrigins: Promise<Readonly<Record<string, string>> | null> | null = null
  fault: ConfigFault | null = null
  restartRequired: readonly string[] = []
  /** Wall-clock milliseconds; the start counts. */
  succeededAt: number
  successes = 0
  failures = 0

  constructor(parts: ReloadParts<C>) {
    this.#parts = parts
    this.hash = parts.hash
    this.#tried = this.#content = parts.content
    this.succeededAt = parts.clock.wall()
  }

  /** Reads the file and applies it, changed or not. */
  reload(trigger: ReloadTrigger): Promise<ReloadResult> {
    if (this.#running === null) return this.#start(trigger)
    this.#next ??= this.#running.then(() => {
      this.#next = null
      return this.#start(trigger)
    })
    return this.#next
  }

  /** Reloads if the content differs from the last attempt's. */
  async reloadIfChanged(): Promise<void> {
    const { source } = this.#parts
    if (source === null || this.#running !== null || isSameContent(await source.read(), this.#tried)) return
    await this.reload('file')
  }

  /**
   * The origins of the values in effect; null where they are unknown. Read anew for each call, one read at a
   * time: calls are rare.
   */
  origins(): Promise<Readonly<Record<string, string>> | null> {
    return (this.#readingOrigins ??= this.#readOrigins().finally(() => (this.#readingOrigins = null)))
  }

  async #readOrigins(): Promise<Readonly<Record<string, string>> | null> {
    const { source } = this.#parts
    if (source === null || this.#content === null) return null
    const { outcome } = await source.load(this.#content)
    return outcome instanceof ConfigError ? null : outcome.origins
  }

  #start(trigger: ReloadTrigger): Promise<ReloadResult> {
    this.#running = this.#run(trigger).finally(() => (this.#running = null))
    return this.#running
  }

  async #run(trigger: ReloadTrigger): Promise<ReloadResult> {
    const { source, apply, log } = this.#parts
    if (source === null) return { result: 'refused', problems: ['there is no configuration file to reload'] }
    const content = await source.read()
    let hash = ''
    let places: Places = {}
    try {
      const loaded = await source.load(content)
      const { outcome } = loaded
      hash = loaded.hash
      if (outcome instanceof ConfigError)
        return this.#fail(loaded.isUndecided ? null : content, hash, outcome)
      places = outcome.places
      const restartRequired = await apply(outcome.config, { file: source.file, places })
      for (const warning of outcome.warnings)
        log.warn('risky configuration', { at: new Whole(formatProblem(source.file, warning)) })
      return this.#succeed(trigger, content, hash, restartRequired)
    } catch (error) {
      if (error instanceof ConfigError)
        return this.#fail(isPassing(error) ? null : content, hash, placedError(error, source.file, places))
      if (!(error instanceof ReloadRefused)) return this.#broken(content, hash, error)
      // A poll would repeat it every time.
      log[trigger === 'file' ? 'debug' : 'warn']('reload refused', { trigger, why: error.message })
      return { result: 'refused', problems: [error.message] }
    }
  }

  #succeed(
    trigger: ReloadTrigger,
    content: Content,
    hash: string,
    restartRequired: readonly string[],
  ): ReloadResult {
    const { clock, log } = this.#parts
    this.hash = hash
    this.#tried = this.#content = content
    this.fault = null
    this.restartRequired = restartRequired
    this.succeededAt = clock.wall()
    this.successes++
    log.info('reloaded', { trigger, hash })
    if (restartRequired.length > 0)
      log.warn('changes that need a restart are not in effect', {
        keys: new Whole(restartRequired.join(', ')),
      })
    return { result: 'success', hash, restartRequired }
  }

  /** A bug of ours, perhaps one that this file has exposed: the gate goes on with what it has. */
  #broken(content: Content, hash: string, error: unknown): ReloadResult {
    const { log, source } = this.#parts
    log.error('internal error in a reload: this is a bug', {
      error: error instanceof Error ? error : String(error),
    })
    const message = `internal error: ${error instanceof Error ? error.message : String(error)}`
    return this.#fail(
      content,
      hash,
      new ConfigError(source?.file ?? '', [{ line: 0, column: 0, path: '', message }]),
    )
  }

  /** `content` is null where the next look is to try again. */
  #fail(content: Content | null, hash: string, { file: named, problems }: ConfigError): ReloadResult {
    const { clock, log, source } = this.#parts
    // Problems that are no file's fault (a port in use) are reported for this file, since it asked for them.
    const file = source?.file ?? named
    this.#tried = content
    this.fault = { at: clock.wall(), hash, file, problems }
    this.failures++
    const lines = problems.map((problem) => formatProblem(file, problem))
    for (const problem of lines)
      log.error('reload failed, the last good configuration stays', { problem: new Whole(problem) })
    return { result: 'failure', problems: lines }
  }
}

function isPassing({ problems }: ConfigError): boolean {
  return problems.some((problem) => problem.isPassing === true)
}
