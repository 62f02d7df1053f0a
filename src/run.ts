// The life of the process: signals, uncaught errors, exit codes.

import { systemClock } from './clock.ts'
import { checkConfig } from './config/load.ts'
import { formatProblem } from './errors.ts'
import { createLog } from './log/log.ts'
import { Sidegate } from './sidegate.ts'

/** How long a shutdown waits for connections beyond the closing handshakes of the slowest listener. */
const DRAIN_MARGIN_MS = 1000
const FLUSH_LOG_MS = 1000
const OK = 0
const INTERNAL = 70

/** The life of the process: runs the gate until a signal ends it. Resolves with the exit code. */
export async function run({ configFile }: { configFile: string }): Promise<number> {
  // Before anything else: as PID 1 a process without handlers would ignore SIGTERM.
  const signals = new Signals()
  const { config, warnings } = await checkConfig(configFile, process.env)
  const { log, writer } = createLog({ clock: systemClock, ...config.log })
  const exit = async (code: number): Promise<number> => {
    await writer.flush(FLUSH_LOG_MS)
    return code
  }
  process.on('uncaughtException', (error) => {
    log.error('uncaught error: this is a bug', { error: error.stack ?? String(error) })
    void exit(INTERNAL).then((code) => process.exit(code))
  })
  for (const warning of warnings) log.warn('risky configuration', { at: formatProblem(configFile, warning) })
  const sidegate = await Sidegate.start(config, { log, logWriter: writer })
  await signals.next()
  const drained = sidegate.drain(Math.max(...config.listeners.map(({ deadlines }) => deadlines.closeMs)) + DRAIN_MARGIN_MS)
  await Promise.race([drained, signals.next()])
  await sidegate.stop()
  log.info('stopped')
  return exit(OK)
}

/** SIGTERM and SIGINT, one after the other. */
class Signals {
  #count = 0
  #wake: (() => void) | null = null

  constructor() {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        this.#count++
        this.#wake?.()
      })
    }
  }

  /** Resolves at the next signal that was not waited for yet. */
  async next(): Promise<void> {
    if (this.#count === 0) await new Promise<void>((resolve) => (this.#wake = resolve))
    this.#count--
  }
}
