// What every judge of the surroundings sees, and what it may say. A judge changes nothing: it tells of what inject cannot
// decide, with the remedy. `--strict` makes each remark an error, `--accept CODE` lets one go.

import type { Door } from '../doors.ts'
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
  /** `Kind/name` of what it is about. */
  about: string
  text: string
}

export type Judge = (situation: Situation) => Remark[]
