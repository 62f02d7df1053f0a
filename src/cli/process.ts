// The life of the process: signals, uncaught errors, exit codes.
//
//     running --SIGTERM or SIGINT--> drain --finished, or a second signal--> stopped, exit 0
//     running --POST /drain--> drain --finished--> waits --SIGTERM--> exit 0 at once
//
// After a drain by the admin server it stays: a sidecar that exits by itself in a pod that terminates may be restarted, and the
// kubelet sends SIGTERM once the application is gone.

import { systemClock } from '../core/clock.ts'
import { loadContent, readFile } from '../config/source.ts'
import type { Config } from '../config/schema.ts'
import { ConfigError, formatProblem } from '../core/errors.ts'
import { watchConfig } from '../files/config-watch.ts'
import { collectGarbage } from '../overload/heap.ts'
import type { ConfigSource } from '../lifecycle/reload.ts'
import { Whole } from '../log/line.ts'
import { createLog } from '../log/log.ts'
import { INTERNAL, OK } from './exit-codes.ts'

const FLUSH_LOG_MS = 1000

/** The life of the process: runs the gate until a signal ends it. Resolves with the exit code. */
export async function run({ configFile }: { configFile: string }): Promise<number> {
  // Before anything else: as PID 1 a process without handlers would ignore SIGTERM, and SIGHUP would end it.
  const signals = new Signals()
  let onHangUp = (): void => {}
  process.on('SIGHUP', () => onHangUp())
  const source = fileSource(configFile)
  const content = await source.read()
  // The check goes on in another process meanwhile.
  const [{ hash, outcome }, { Sidegate }] = await Promise.all([source.load(content), import('../operator/sidegate.ts')])
  if (outcome instanceof ConfigError) throw outcome
  const { config, warnings } = outcome
  const { log, writer } = createLog({ clock: systemClock, ...config.log })
  const exit = async (code: number): Promise<number> => {
    await writer.flush(FLUSH_LOG_MS)
    return code
  }
  process.on('uncaughtException', (error) => {
    log.error('uncaught error: this is a bug', { error: error.stack ?? String(error) })
    void exit(INTERNAL).then((code) => process.exit(code))
  })
  for (const warning of warnings) log.warn('risky configuration', { at: new Whole(formatProblem(configFile, warning)) })
  const sidegate = await Sidegate.start(config, { log, logWriter: writer, source: { source, content, hash } })
  // What it took to start is garbage now, 4 MB of it.
  if (globalThis.gc !== undefined) collectGarbage()
  onHangUp = () => void sidegate.reload('SIGHUP')
  const watch = watchConfig({ file: configFile, clock: systemClock, onChange: () => void sidegate.reloadIfChanged() })
  const signal = await signals.next()
  watch.stop()
  await Promise.race([sidegate.drain(signal), signals.next()])
  await answered()
  await sidegate.stop()
  log.info('stopped')
  return exit(OK)
}

function fileSource(file: string): ConfigSource<Config> {
  return { file, read: () => readFile(file), load: (content) => loadContent(content, file, process.env, systemClock) }
}

/** Whoever waited for the end of the drain (`/drain/wait`) has its answer by then. */
function answered(): Promise<void> {
  return new Promise((resolve) => systemClock.nextTurn(resolve))
}

type Signal = 'SIGTERM' | 'SIGINT'

/** SIGTERM and SIGINT, one after the other. */
class Signals {
  readonly #came: Signal[] = []
  #wake: (() => void) | null = null

  constructor() {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        this.#came.push(signal)
        this.#wake?.()
      })
    }
  }

  /** Resolves with the next signal that was not waited for yet. */
  async next(): Promise<Signal> {
    if (this.#came.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    return this.#came.shift()!
  }
}
