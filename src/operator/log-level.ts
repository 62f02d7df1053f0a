// The level of every log of the process, set in one place: the operator's own, and by a message those of the gates.

import type { Log } from '../log/log.ts'
import type { LogSettings } from '../gate/messages.ts'

export function logSettings({ level, format, probes, timeline }: Log): LogSettings {
  return { level, format, probes, timeline }
}

/** As the admin server sees a log. */
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
