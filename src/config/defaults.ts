// Defaults to which other keys are compared, and which commands without a configuration use.

import { pingInterval } from './websocket-keys.ts'

export const defaults = {
  healthAddress: ':17021',
  adminAddress: '127.0.0.1:17020',
  high: '64KiB',
  connect: '5s',
  pingInterval,
  shedAt: '85%',
  refuseAt: '95%',
  minDuration: '10s',
  spread: '30s',
  drainTimeout: '60s',
} as const
