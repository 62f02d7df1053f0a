// The kernel's queues of a loopback connection: the truth for comparison with our own counts.

import { readFileSync } from 'node:fs'

export interface KernelQueues {
  /** Bytes received that the process has not read. */
  unread: number
  /** Bytes of the process that the peer has not acknowledged. */
  unsent: number
}

/** The queues of the IPv4 socket with these two ports; null when there is none. */
export function kernelQueues(localPort: number, remotePort: number): KernelQueues | null {
  const hex = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  for (const row of readFileSync('/proc/net/tcp', 'latin1').split('\n')) {
    const [, local, remote, , queues] = row.trim().split(/\s+/)
    if (!local?.endsWith(hex(localPort)) || !remote?.endsWith(hex(remotePort))) continue
    const [unsent = 0, unread = 0] = queues!.split(':').map((text) => Number.parseInt(text, 16))
    return { unread, unsent }
  }
  return null
}
