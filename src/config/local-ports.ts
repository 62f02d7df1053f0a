// The number of local ports that the kernel has for outgoing connections: the maximum of connections to one
// upstream address at a time, from one address of ours (RFC 6056; TIME_WAIT takes ports too). Linux's default
// where the kernel cannot be asked.

import { readFileSync } from 'node:fs'

const FILES = '/proc/sys/net/ipv4'
const USUAL = '32768 60999'

export function localPorts(
  read: (name: string) => string = (name) => readFileSync(`${FILES}/${name}`, 'latin1'),
): number {
  const [first = 0, last = 0] = textOf(read, 'ip_local_port_range', USUAL).trim().split(/\s+/).map(Number)
  let ports = last - first + 1
  // `8080,9148-9150`: the kernel assigns these to no connection.
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
