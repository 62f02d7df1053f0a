// Rules of NetworkPolicies that were not changed, because they name no port that could be.

import { judgePolicies } from '../policies.ts'
import type { Judge } from './judge.ts'

export const judgeNetworkPolicies: Judge = (situation) =>
  judgePolicies(situation, situation.doors).map(([about, text]) => ({ code: 'network-policy', about, text }))
