// The folders of this container's cgroups, v1 and v2, which hold its limits.

import { readFileSync } from 'node:fs'
import { posix } from 'node:path'

/** Null where there is no such file. */
export type ReadFile = (path: string) => string | null

export interface Hierarchy {
  folders: string[]
  isV1: boolean
}

export function readHere(path: string): string | null {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return null
  }
}

/** The folders that may limit this process, outermost first, in each hierarchy that may hold `controller`. */
export function hierarchies(readFile: ReadFile, controller: 'memory' | 'cpu'): Hierarchy[] {
  const mounts = (readFile('/proc/self/mountinfo') ?? '').split('\n').map((line) => line.split(' '))
  const memberships = (readFile('/proc/self/cgroup') ?? '')
    .split('\n')
    .map((line) => /^(\d+):([^:]*):(.*)$/.exec(line))
  return mounts.flatMap((fields) => {
    const [, , , root, point] = fields
    const [type, , options = ''] = fields.slice(fields.indexOf('-') + 1)
    if (root === undefined || point === undefined) return []
    const isV1 = type === 'cgroup' && options.split(',').includes(controller)
    if (!isV1 && type !== 'cgroup2') return []
    const own = memberships.find(
      (one) => one !== null && (isV1 ? one[2]!.split(',').includes(controller) : one[2] === ''),
    )?.[3]
    return [{ folders: foldersFrom(point, below(root, own ?? '/')), isV1 }]
  })
}

/** The path `own` below the mount; the mount where a container shows only its cgroup, by a host path. */
function below(root: string, own: string): string {
  if (root === '/') return own
  return own === root || own.startsWith(`${root}/`) ? own.slice(root.length) : '/'
}

function foldersFrom(point: string, path: string): string[] {
  const folders = [point]
  // `..` is a cgroup outside our namespace, whose files we cannot read.
  for (const part of path.split('/'))
    if (part !== '' && part !== '..') folders.push(posix.join(folders.at(-1)!, part))
  return folders
}
