// The situation that every judge sees, and its remarks. A judge changes nothing: it reports what inject
// cannot decide, with the remedy. `--strict` makes each remark an error, `--accept CODE` drops one.

import type { Door } from '../door.ts'
import type { Surroundings } from '../surroundings.ts'

export interface Situation extends Surroundings {
  doors: readonly Door[]
  wishes: {
    cpu: string | null
    upstream: 'loopback' | 'pod-ip'
  }
}

export const codes = [
  'autoscaler',
  'config',
  'direct-clients',
  'disruption-budget',
  'guaranteed',
  'headless',
  'host-port',
  'job',
  'moved-port',
  'network-policy',
  'no-service',
  'own-hook',
  'peers',
  'skipped',
] as const
export type Code = (typeof codes)[number]

export interface Remark {
  code: Code
  /** `Kind/name` of its object. */
  about: string
  text: string
}

export type Judge = (situation: Situation) => Remark[]
