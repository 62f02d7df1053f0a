// A preStop hook of the application: inject must not replace it, and it has to outlast the drain.

import { isDeepStrictEqual } from 'node:util'
import { containersOf } from '../pod.ts'
import { appPreStop, HEALTH_PORT } from '../sidecar.ts'
import { titleOf } from '../stream.ts'
import type { Judge } from './judge.ts'

export const judgeHooks: Judge = ({ workload, doors }) =>
  containersOf(workload)
    .filter(({ name, lifecycle }) => {
      const preStop: unknown = lifecycle?.preStop
      const isGated = doors.some((door) => door.container === name)
      return isGated && preStop !== undefined && preStop !== null && !isDeepStrictEqual(preStop, appPreStop)
    })
    .map(({ name }) => ({
      code: 'own-hook',
      about: titleOf(workload),
      text: `container ${name} has a preStop hook of its own, which stays; let it end after GET :${HEALTH_PORT}/drain/wait does, or the application goes before its connections (docs/kubernetes.md#a-hook-of-its-own)`,
    }))
