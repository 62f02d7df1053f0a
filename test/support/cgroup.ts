// A memory limit of the kernel's for a process of a test: a cgroup of its own, v1 or v2, that goes with the test.

import type { Test } from 'tap'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from './eventually.ts'

const V1 = '/sys/fs/cgroup/memory'
const V2 = '/sys/fs/cgroup'

interface Kind {
  parent: string
  limit: string
  /** The file in which the kernel counts its kills. */
  events: string
}

const kinds: Kind[] = [
  { parent: V1, limit: 'memory.limit_in_bytes', events: 'memory.oom_control' },
  { parent: V2, limit: 'memory.max', events: 'memory.events' },
]

export interface LimitedMemory {
  /** A command line that runs the rest within it. */
  under: string[]
  /** The number of processes that the kernel has killed for want of memory. */
  kills(): number
}

/** False, or the reason for which this machine cannot limit a process. */
export function cannotLimitMemory(): string | false {
  for (const kind of kinds) {
    const folder = join(kind.parent, `sidegate-probe-${process.pid}`)
    try {
      mkdirSync(folder)
    } catch {
      continue
    }
    const isLimited = existsSync(join(folder, kind.limit))
    rmdirSync(folder)
    if (isLimited) return false
  }
  return 'no memory cgroup can be made here'
}

export function limitedMemory(t: Test, bytes: number): LimitedMemory {
  const { parent, limit, events } = kinds.find((kind) =>
    existsSync(join(kind.parent, kind.events.replace('memory.events', 'cgroup.controllers'))),
  )!
  const folder = join(parent, `sidegate-${process.pid}`)
  mkdirSync(folder)
  t.teardown(() =>
    eventually(() => {
      try {
        rmdirSync(folder)
        return true
      } catch {
        return false // a process is not quite gone yet
      }
    }),
  )
  writeFileSync(join(folder, limit), String(bytes))
  return {
    under: ['sh', '-c', `echo $$ > ${join(folder, 'cgroup.procs')} && exec "$@"`, 'sh'],
    kills: () => Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(folder, events), 'utf8'))?.[1] ?? 0),
  }
}
