// Reports of tokens that fail: a count for each, a log line for each second, and one for each problem of the
// file.

import type { TokenObserver } from '../admin/token-guard.ts'
import type { Clock } from '../core/clock.ts'
import { makeClose } from '../core/close.ts'
import type { Log } from '../log/log.ts'
import { Rejections } from '../log/rejections.ts'
import type { Metrics } from '../metrics/metrics.ts'

const words = {
  no_token: 'no token (admin.tokenFile)',
  wrong_token: 'wrong token (admin.tokenFile)',
} as const

export function tokenWatch(
  file: string | null,
  { log, clock, metrics }: { log: Log; clock: Clock; metrics: Metrics },
): TokenObserver {
  const rejections = new Rejections(log, clock)
  return {
    onProblem: (problem) =>
      log.error('admin.tokenFile cannot be used: the admin server lets nobody in', { file, problem }),
    onFailed(why, address) {
      metrics.onAdminRefused(why)
      rejections.note('admin', makeClose('denied', 'client', 'admit', words[why]), () => address)
    },
  }
}
