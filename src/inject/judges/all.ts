// Every judge, in the order in which the remarks are read.

import { judgeHeadless, judgeClients, judgeService, judgeSkipped } from './services.ts'
import { judgeHooks } from './hooks.ts'
import { judgeHost } from './host.ts'
import { judgeBudget, judgeJob, judgePeers } from './kinds.ts'
import { judgeMoved } from './moved.ts'
import { judgeNetworkPolicies } from './policies.ts'
import { judgeAutoscaler, judgeQuality } from './resources.ts'
import type { Judge } from './judge.ts'

export const judges: readonly Judge[] = [
  judgeHost,
  judgeService,
  judgeHeadless,
  judgeSkipped,
  judgeClients,
  judgeMoved,
  judgeHooks,
  judgeNetworkPolicies,
  judgePeers,
  judgeQuality,
  judgeAutoscaler,
  judgeBudget,
  judgeJob,
]
