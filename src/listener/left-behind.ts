// The file of a Unix socket outlives a killed process, and would keep the next one from listening.

import { lstatSync } from 'node:fs'
import net from 'node:net'

/**
 * Whether a crash left this socket behind. Only a refusal proves it: a listener that is too busy answers
 * EAGAIN, one that we may not reach EACCES. A file that is no socket refuses as well, and is not ours to
 * remove.
 */
export function isLeftBehind(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = net.connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(false)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(
        error.code === 'ECONNREFUSED' && lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true,
      )
    })
  })
}
