// The life of the process: signals, uncaught errors, exit codes.
//
//     starting --SIGTERM or SIGINT--> exit 0 at once
//     starting --the check of the configuration did not finish--> exit 75
//     running --SIGTERM or SIGINT--> drain --finished, or a second signal--> stopped, exit 0
//     running --five workers ended within a minute--> exit 70
//     running --POST /drain--> drain --finished--> waits --SIGTERM--> exit 0 at once
//
// After a drain by the admin server the process stays: a sidecar that exits by itself in a terminating pod
// may be restarted, and the kubelet sends SIGTERM once the application is gone.

import { systemClock } from '../core/clock.ts'
import { loadContent, readFile } from '../config/source.ts'
import type { Config } from '../config/schema.ts'
import { ConfigError, formatProblem, ofFiles, placedError } from '../core/errors.ts'
import type { Places } from '../core/errors.ts'
import { watchConfig } from '../files/config-watch.ts'
import { collectGarbage } from '../overload/heap.ts'
import type { ConfigSource } from '../lifecycle/reload.ts'
import { Whole } from '../log/line.ts'
import { createLog, type Log } from '../log/log.ts'
import type { LogWriter } from '../log/log-writer.ts'
import type { Operator } from '../operator/operator.ts'
import { INTERNAL, OK, TEMPORARY } from '../core/exit-codes.ts'
import type { Signals } from './signals.ts'

const FLUSH_LOG_MS = 1000

export interface RunOptions {
  configFile: string
  /** Collects signals since before this file was loaded. */
  signals: Signals
}

interface Started {
  operator: Operator
  log: Log
  writer: LogWriter
}

/** The life of the process: runs the gate until a signal ends it. Resolves with the exit code. */
export async function run({ configFile, signals }: RunOptions): Promise<number> {
  // Without a handler SIGHUP would end the process.
  let onHangUp = (): void => {}
  process.on('SIGHUP', () => onHangUp())
  const source = fileSource(configFile)
  const first = signals.next()
  const started = await Promise.race([start(source), first])
  if (typeof started === 'string') {
    process.stderr.write(`sidegate: ${started} before it had started\n`)
    return OK
  }
  if (typeof started === 'number') return started
  const { operator, log, writer } = started
  onHangUp = () => void operator.reload('SIGHUP')
  const watch = watchConfig({
    file: configFile,
    clock: systemClock,
    onChange: () => void operator.reloadIfChanged(),
  })
  const signal = await first
  watch.stop()
  await Promise.race([operator.drain(signal), signals.next()])
  await answered()
  await operator.stop()
  log.info('stopped')
  await writer.flush(FLUSH_LOG_MS)
  return OK
}

/**
 * Reads the configuration and starts the gate; an exit code where another thing than the file prevents it.
 */
async function start(source: ConfigSource<Config>): Promise<Started | number> {
  const content = await source.read()
  // The check runs in another process meanwhile.
  const [{ hash, outcome, isUndecided }, { Operator }] = await Promise.all([
    source.load(content),
    import('../operator/operator.ts'),
  ])
  if (outcome instanceof ConfigError) {
    if (!isUndecided) throw outcome
    process.stderr.write(`${outcome.message}\n`)
    return TEMPORARY
  }
  const { config, warnings, places } = outcome
  const { log, writer } = createLog({ clock: systemClock, ...config.log })
  process.on('uncaughtException', (error) => {
    log.error('uncaught error: this is a bug', { error: error.stack ?? String(error) })
    void writer.flush(FLUSH_LOG_MS).then(() => process.exit(INTERNAL))
  })
  for (const warning of warnings)
    log.warn('risky configuration', { at: new Whole(formatProblem(source.file, warning)) })
  const starting = Operator.start(config, {
    log,
    logWriter: writer,
    source: { source, content, hash, written: ofFiles({ file: source.file, places }) },
    onBroken() {
      log.error('workers end faster than it helps to replace them: the process ends')
      void writer.flush(FLUSH_LOG_MS).then(() => process.exit(INTERNAL))
    },
  })
  const operator = await withPlaces(starting, source.file, places)
  // The start leaves 4 MB of garbage.
  if (globalThis.gc !== undefined) collectGarbage()
  return { operator, log, writer }
}

/** A function of its own, so that no closure that stays keeps `places`. */
async function withPlaces<T>(starting: Promise<T>, file: string, places: Places): Promise<T> {
  try {
    return await starting
  } catch (error) {
    throw error instanceof ConfigError ? placedError(error, file, places) : error
  }
}

function fileSource(file: string): ConfigSource<Config> {
  return {
    file,
    read: () => readFile(file),
    load: (content) => loadContent(content, file, process.env, systemClock),
  }
}

/** Every client of `/drain/wait` has its answer by then. */
function answered(): Promise<void> {
  return new Promise((resolve) => systemClock.nextTurn(resolve))
}
