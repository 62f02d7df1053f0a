// How much of what the kernel took for a peer the peer has not: what makes a slow reader visible.
//
// Once its send buffer is full, Linux says "writable" again only after a third of it drained, which is a megabyte on
// loopback: a reader of 30 KB/s looks stalled for half a minute, and would be killed while it reads. The kernel knows
// better, and Node has no call for it (SIOCOUTQ, TCP_INFO), but /proc/net/tcp shows for each socket what it has sent and
// was not acknowledged, and, for a peer in the same network namespace (a sidecar's upstream), also what lies unread there.
//
// Asked only for sockets that look stalled, one read of the file for all of them, a few times a second at the most.
// Where there is no such file, progress is as coarse as the kernel's "writable".

import { createReadStream } from 'node:fs'
import { isIPv4, isIPv6 } from 'node:net'
import type { Socket } from 'node:net'

const FILES = ['/proc/self/net/tcp', '/proc/self/net/tcp6']
/** At least this long between two reads, and five times as long as one takes. */
const GAP_MS = 100
const GAP_FACTOR = 5

/** As the state of a line. These may be many, and hold nothing. */
const TIME_WAIT = ' 06 '

type Report = (bytes: number) => void

/** What is asked for in the next read: `local-remote` to who wants to know. */
let asked = new Map<string, Report>()
let isReading = false
let nextAt = 0
let isMissing = false

/**
 * Reports, a moment later, how many bytes that the kernel took from `socket` its peer has not taken. To be called again while
 * the figure is wanted: calls that come too soon after a read wait for the next. False: the system does not tell.
 */
export function measureKernelQueue(socket: Socket, report: Report): boolean {
  const key = keyOf(socket)
  if (key === null || isMissing) return false
  asked.set(key, report)
  if (!isReading && performance.now() >= nextAt) void readAll()
  return true
}

async function readAll(): Promise<void> {
  isReading = true
  const startedAt = performance.now()
  const wanted = asked
  asked = new Map()
  const queues = new Map<string, number>()
  try {
    for (const file of FILES) await readTable(file, wanted, queues)
  } catch {
    isMissing = queues.size === 0
  }
  const now = performance.now()
  nextAt = now + Math.max(GAP_MS, (now - startedAt) * GAP_FACTOR)
  isReading = false
  // A socket that is listed no more holds nothing any more.
  if (!isMissing) for (const [key, report] of wanted) report(queues.get(key) ?? 0)
}

async function readTable(file: string, wanted: ReadonlyMap<string, Report>, queues: Map<string, number>): Promise<void> {
  let rest = ''
  for await (const chunk of createReadStream(file, { encoding: 'latin1' })) {
    const lines = (rest + String(chunk)).split('\n')
    rest = lines.pop()!
    for (const line of lines) readLine(line, wanted, queues)
  }
}

/** `   0: 0100007F:1F90 0100007F:A2B4 01 00012345:00000000 ...`: slot, local, remote, state, unacknowledged and unread bytes. */
function readLine(line: string, wanted: ReadonlyMap<string, Report>, queues: Map<string, number>): void {
  if (line.includes(TIME_WAIT)) return
  const [, local, remote, , queue] = line.trim().split(' ', 5)
  if (local === undefined || remote === undefined || queue === undefined) return
  const here = unmapped(local)
  const there = unmapped(remote)
  const ours = `${here}-${there}`
  if (wanted.has(ours)) add(queues, ours, Number.parseInt(queue.slice(0, 8), 16))
  const theirs = `${there}-${here}`
  if (wanted.has(theirs)) add(queues, theirs, Number.parseInt(queue.slice(9), 16))
}

function add(queues: Map<string, number>, key: string, bytes: number): void {
  queues.set(key, (queues.get(key) ?? 0) + bytes)
}

const MAPPED = '0000000000000000FFFF0000'

function unmapped(address: string): string {
  return address.startsWith(MAPPED) ? address.slice(MAPPED.length) : address
}

function keyOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string | null {
  if (localAddress === undefined || remoteAddress === undefined || localPort === undefined || remotePort === undefined) return null
  const local = tableAddress(localAddress)
  const remote = tableAddress(remoteAddress)
  return local === null || remote === null ? null : `${local}:${tablePort(localPort)}-${remote}:${tablePort(remotePort)}`
}

function tablePort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}

/** The table prints addresses as the 32-bit words of this machine: the bytes of each word are reversed on the usual ones. */
function tableAddress(address: string): string | null {
  const plain = address.startsWith('::ffff:') && isIPv4(address.slice(7)) ? address.slice(7) : address
  if (isIPv4(plain)) return words(Buffer.from(plain.split('.').map(Number)))
  return isIPv6(plain) ? words(ipv6Bytes(plain.split('%', 1)[0]!)) : null
}

function words(bytes: Buffer): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 4) text += bytes.readUInt32LE(at).toString(16).toUpperCase().padStart(8, '0')
  return text
}

function ipv6Bytes(address: string): Buffer {
  const bytes = Buffer.alloc(16)
  const [head = '', tail = ''] = address.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail === '' ? [] : tail.split(':')
  before.forEach((group, i) => bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * i))
  after.forEach((group, i) => bytes.writeUInt16BE(Number.parseInt(group, 16), 16 - 2 * (after.length - i)))
  return bytes
}
