// The level of every log of the process, set in one place: the operator's own directly, those of the gates by
// a message.

import type { Log } from '../log/log.ts'
import type { LogSettings } from '../gate/messages.ts'

export function logSettings({ level, format, probes, timeline }: Log): LogSettings {
  return { level, format, probes, timeline }
}

/** A log as the admin server sees it. */
export function leveled(log: Log, tell: (settings: LogSettings) => void): Pick<Log, 'level'> {
  return {
    get level() {
      return log.level
    },
    set level(level) {
      log.level = level
      tell(logSettings(log))
    },
  }
}
