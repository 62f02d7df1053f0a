// Sidegate's log: one line for each event, and one for each connection at its end.
//
// Levels: error is our bug or the operator's configuration, warn is that we degrade, info is start, stop,
// reload, drain and the end of a connection, debug is the steps of one connection.

import type { Clock } from '../core/clock.ts'
import type { Connection } from '../core/connection.ts'
import { connectionFields } from './connection-fields.ts'
import { stdoutDestination, type Destination } from './destination.ts'
import { timelineText } from './timeline-text.ts'
import { formatLine, logLevels, Whole, type LogFields, type LogFormat, type LogLevel } from './line.ts'
import { LogWriter } from './log-writer.ts'

export interface LogOptions {
  writer: Pick<LogWriter, 'write'>
  clock: Clock
  level?: LogLevel
  format?: LogFormat
  /**
   * Logs connections that ended without a byte like all others: the default here, not that of the
   * configuration.
   */
  probes?: boolean
  /** Logs ends other than `eof` with their timeline. */
  timeline?: boolean
}

/** A log and its bounded queue, by default on the standard output. */
export function createLog(options: {
  clock: Clock
  level?: LogLevel
  format?: LogFormat
  probes?: boolean
  timeline?: boolean
  destination?: Destination
}): { log: Log; writer: LogWriter } {
  const { clock, level = 'info', format = 'json', probes = true, timeline = false } = options
  const { destination = stdoutDestination() } = options
  const formatDropped = (count: number) =>
    formatLine(log.format, clock.wall(), 'warn', `${count} log lines dropped`, { dropped: count })
  const writer = new LogWriter({ clock, destination, formatDropped })
  const log = new Log({ writer, clock, level, format, probes, timeline })
  return { log, writer }
}

export class Log {
  readonly #writer: Pick<LogWriter, 'write'>
  readonly #clock: Clock
  /** These four may change at any time. */
  format: LogFormat
  level: LogLevel
  probes: boolean
  timeline: boolean

  constructor(options: LogOptions) {
    this.#writer = options.writer
    this.#clock = options.clock
    this.format = options.format ?? 'json'
    this.level = options.level ?? 'info'
    this.probes = options.probes ?? true
    this.timeline = options.timeline ?? false
  }

  /** Messages are constant words of ours; variable parts, and whatever a peer sent, go into fields. */
  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields)
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields)
  }

  /** The one line that explains a connection, at its end. `now` is the Clock's, in milliseconds. */
  connection(connection: Connection, now: number): void {
    const level =
      connection.end?.reason === 'internal_error'
        ? 'error'
        : !this.probes && isProbe(connection)
          ? 'debug'
          : 'info'
    if (!this.#isOn(level)) return
    const fields = connectionFields(connection, now)
    if (this.timeline && connection.end?.reason !== 'eof')
      fields['timeline'] = new Whole(timelineText(connection, now))
    this.#write(level, 'connection closed', fields)
  }

  #isOn(level: LogLevel): boolean {
    return logLevels.indexOf(level) <= logLevels.indexOf(this.level)
  }

  #write(level: LogLevel, message: string, fields?: LogFields): void {
    if (!this.#isOn(level)) return
    this.#writer.write(formatLine(this.format, this.#clock.wall(), level, message, fields))
  }
}

/** A client opened and ended it without a byte: load balancers probe a port like that, every few seconds. */
function isProbe({ end, protocol, toUpstream, toClient }: Connection): boolean {
  if (toUpstream.received > 0 || toClient.received > 0 || end?.side !== 'client') return false
  // In HTTP a head that has begun ends like this.
  if (end.reason === 'aborted') return protocol === 'tcp'
  return end.reason === 'eof' || end.reason === 'reset'
}
