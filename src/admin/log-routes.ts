// The routes of the log's level: read it, change it.

import { logLevels } from '../log/line.ts'
import { readLevel } from './log-level.ts'
import type { LogLevelSwitch } from './log-level.ts'
import { jsonAnswer } from '../ops/answer.ts'
import type { Answer } from '../ops/answer.ts'
import type { Route } from '../ops/ops-server.ts'

const MIN_MS = 1000
const MAX_MS = 24 * 3_600_000

export function logRoutes(
  logLevel: LogLevelSwitch,
  parseDuration: (text: string) => { value: number } | { problem: string },
): Route[] {
  const refuse = (error: string): Answer => jsonAnswer({ error }, 400)
  return [
    {
      method: 'GET',
      path: '/log',
      summary: 'the level of the log',
      handle: () => jsonAnswer(logLevel.view()),
    },
    {
      method: 'POST',
      path: '/log',
      summary: 'changes it: ?level=error|warn|info|debug &for=5m (without: for good)',
      handle({ query }) {
        const unknown = [...query.keys()].find((key) => key !== 'level' && key !== 'for')
        if (unknown !== undefined) return refuse('unknown parameter, known are level, for')
        const level = readLevel(query.get('level'))
        if (level === null) return refuse(`level must be one of ${logLevels.join(', ')}`)
        const text = query.get('for')
        const parsed = text === null ? null : parseDuration(text)
        if (parsed !== null && 'problem' in parsed) return refuse(`for: ${parsed.problem}`)
        if (parsed !== null && (parsed.value < MIN_MS || parsed.value > MAX_MS))
          return refuse('for must be 1s to 24h')
        logLevel.set(level, parsed?.value ?? null)
        return jsonAnswer(logLevel.view())
      },
    },
  ]
}
