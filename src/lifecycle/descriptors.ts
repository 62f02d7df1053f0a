// The connections that fit into the descriptor limit. Beyond it the kernel is silent: libuv accepts and
// closes, and nothing is counted; so the limit on connections must stay below it.

import { readFileSync } from 'node:fs'

/**
 * Descriptors for listeners, the health and admin servers, logs, libuv, name resolution, and a certificate
 * being read.
 */
export const RESERVED = 128
/**
 * For each of several workers: its event loop, the looks into the kernel, a spare of libuv's. Beside these it
 * has a socket for each listener. (8 and one for each: Node 26, Linux 6, December 2026.)
 */
export const RESERVED_FOR_A_WORKER = 12
/** A connection takes two descriptors, the client's and the upstream's. */
const PER_CONNECTION = 2

/**
 * The process's limit of open descriptors, or null where the system does not show it. Node raises the soft
 * limit to the hard one.
 */
export function descriptorLimit(): number | null {
  try {
    const match = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    if (match === null) return null
    return match[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(match[1])
  } catch {
    return null
  }
}

/** Connections that fit within `limit` descriptors; at least one. */
export function connectionsThatFit(
  limit: number,
  { workers, listeners }: { workers: number; listeners: number } = { workers: 1, listeners: 0 },
): number {
  const forWorkers = workers === 1 ? 0 : workers * (RESERVED_FOR_A_WORKER + listeners)
  return Math.max(1, Math.floor((limit - RESERVED - forWorkers) / PER_CONNECTION))
}
