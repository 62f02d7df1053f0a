// Failed dials: their meaning for the address.

import type { Close } from '../core/close.ts'
import { isOwnWant } from '../core/errors.ts'

/**
 * Failures that mean nobody listens at this moment, as between the end of a service and its next start: a
 * port that refuses or resets, a unix socket that is missing (ENOENT), that no process holds, or whose
 * backlog is full (EAGAIN). No service has read a byte of the client.
 */
const momentary = new Set(['ECONNRESET', 'ENOENT', 'EAGAIN'])

/** No local port is left for that address, or this host has no address of its family. */
const NO_LOCAL_PORT = 'EADDRNOTAVAIL'

/** A failure of our own host: another address would not help, and this address is not to blame. */
export function isOurs(close: Close): boolean {
  return isOwnWant(close.detail)
}

/** Whether the same address may accept a moment later. */
export function isMomentary({ reason, detail }: Close): boolean {
  return reason === 'connect_refused' || (reason === 'connect_failed' && momentary.has(detail ?? ''))
}

export function isWithoutLocalPort({ reason, detail }: Close): boolean {
  return reason === 'connect_failed' && detail === NO_LOCAL_PORT
}
