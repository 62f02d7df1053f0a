// Defaults that other keys are compared with, and commands that know no configuration fall back to.

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
