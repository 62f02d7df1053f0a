// The meaning of a failed dial for its address.

import type { Close } from '../core/close.ts'

/** Failures that are ours: another address would not help, and this one is not to blame. */
const ours = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM'])

/**
 * Nobody listens at this moment, as between the end of a service and its next start: a port that refuses or resets, a unix socket
 * that is not there (ENOENT), that nobody holds, or whose backlog is full (EAGAIN). Not a byte of a client was taken by anybody.
 */
const momentary = new Set(['ECONNRESET', 'ENOENT', 'EAGAIN'])

/** No local port is left for that address, or there is none of its family. */
const NO_LOCAL_PORT = 'EADDRNOTAVAIL'

export function isOurs(close: Close): boolean {
  return ours.has(close.detail ?? '')
}

/** Whether the same address may accept a moment later. */
export function isMomentary({ reason, detail }: Close): boolean {
  return reason === 'connect_refused' || (reason === 'connect_failed' && momentary.has(detail ?? ''))
}

export function isWithoutLocalPort({ reason, detail }: Close): boolean {
  return reason === 'connect_failed' && detail === NO_LOCAL_PORT
}
