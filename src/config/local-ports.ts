// How many local ports the kernel gives to outgoing connections: so many may be open to one upstream address at a time, from one
// address of ours (RFC 6056; TIME_WAIT takes ports too). Where it cannot be asked, what Linux has by default.

import { readFileSync } from 'node:fs'

const FILES = '/proc/sys/net/ipv4'
const USUAL = '32768 60999'

export function localPorts(
  read: (name: string) => string = (name) => readFileSync(`${FILES}/${name}`, 'latin1'),
): number {
  const [first = 0, last = 0] = textOf(read, 'ip_local_port_range', USUAL).trim().split(/\s+/).map(Number)
  let ports = last - first + 1
  // `8080,9148-9150`: not given to anybody.
  for (const range of textOf(read, 'ip_local_reserved_ports', '').trim().split(',')) {
    const [from = 0, to = from] = range.split('-').map(Number)
    if (range !== '') ports -= Math.max(0, Math.min(to, last) - Math.max(from, first) + 1)
  }
  return ports
}

function textOf(read: (name: string) => string, name: string, otherwise: string): string {
  try {
    return read(name)
  } catch {
    return otherwise
  }
}
