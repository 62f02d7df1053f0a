// The kernel's tables of TCP sockets (/proc/net/tcp, tcp6), as text: one line for each socket.

import { open, read, readSync } from 'node:fs'
import { isIP } from 'node:net'
import type { Socket } from 'node:net'
import { promisify } from 'node:util'
import { Address, bytesOf } from '../core/address.ts'

/** Room for a page, the most that the kernel hands out in one read, and for a line that is not whole. */
export const CHUNK_BYTES = 16 * 1024
/** A page with less than this is the last one, or followed by many empty slots of the kernel's. */
const FULL_PAGE_BYTES = 3072
/**
 * After a full page so many reads go on in this thread, 25 us each, up to the next that takes a turn in
 * another: that one costs both threads several times as much. 30,000 sockets are more than a thousand pages.
 */
const READS_HERE = 16

const LF = 10
const COLON = 58
/** The state of a socket whose peer has sent FIN, and which has sent none. */
const CLOSE_WAIT = '08'
/** The state of a socket in TIME_WAIT is `06`. Such sockets may be many, and hold nothing. */
const ZERO = 48
const SIX = 54
/** The length of a colon, a port and a space. */
const PORT = 6

export interface Queue {
  unacknowledged: number
  unread: number
  /** The peer has sent FIN, perhaps behind bytes that are not read. */
  hasEnded: boolean
}

/** Both addresses and ports of a connected socket. */
export type Ends = Partial<Pick<Socket, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>>

/** One table of the kernel's. */
export interface TableFile {
  /** Fills `buffer` from byte `position` of the file on; resolves to 0 at its end. */
  read(buffer: Buffer, position: number): Promise<number>
  /** The same in this thread. */
  readSync(buffer: Buffer, position: number): number
}

const openFile = promisify(open)
const readFile = promisify(read)

/** A bare descriptor: a FileHandle would be closed with its last reference, and warn of it. */
export async function openTable(path: string): Promise<TableFile> {
  const descriptor = await openFile(path, 'r')
  return {
    read: async (buffer, position) =>
      (await readFile(descriptor, buffer, 0, buffer.length, position)).bytesRead,
    readSync: (buffer, position) => readSync(descriptor, buffer, 0, buffer.length, position),
  }
}

/**
 * Reads the table to its end. `onChunk` gets how many bytes of `buffer` are filled, and returns where the
 * first line begins that is not whole. Resolves to the table's length in bytes.
 */
export async function readTable(
  file: TableFile,
  buffer: Buffer,
  onChunk: (filled: number) => number,
): Promise<number> {
  let kept = 0
  let position = 0
  let readsHere = 0
  for (;;) {
    const room = buffer.subarray(kept)
    const length = readsHere > 0 ? file.readSync(room, position) : await file.read(room, position)
    if (length === 0) return position
    if (length < FULL_PAGE_BYTES) readsHere = 0
    else readsHere = readsHere > 0 ? readsHere - 1 : READS_HERE
    position += length
    const filled = kept + length
    const rest = onChunk(filled)
    buffer.copyWithin(0, rest, filled)
    kept = filled - rest
  }
}

/** Calls `onLine` for each whole line of a socket that may hold bytes; returns the start of the rest. */
export function eachLine(buffer: Buffer, filled: number, onLine: (line: string) => void): number {
  let start = 0
  for (;;) {
    const end = buffer.indexOf(LF, start)
    if (end === -1 || end >= filled) return start
    if (!isTimeWait(buffer, start, end)) onLine(buffer.toString('latin1', start, end))
    start = end + 1
  }
}

/** Decided by bytes: a text for each of 30,000 such lines takes this thread for 20 ms. */
function isTimeWait(buffer: Buffer, start: number, end: number): boolean {
  let at = start
  while (at < end && buffer[at] !== COLON) at++
  // `: 0100007F:1F90 0100007F:A2B4 06`, or with addresses of four words.
  const ends = buffer[at + 2 + 8] === COLON ? 2 * (8 + PORT) : 2 * (32 + PORT)
  const state = at + 2 + ends
  return buffer[state] === ZERO && buffer[state + 1] === SIX
}

/**
 * `   0: 0100007F:1F90 0100007F:A2B4 01 00012345:00000000 ...`:
 * slot, local, remote, state, unacknowledged and unread bytes.
 */
export function readLine(
  line: string,
  wanted: ReadonlyMap<string, unknown>,
  queues: Map<string, Partial<Queue>>,
): void {
  const [, local, remote, state, queue] = line.trim().split(' ', 5)
  if (local === undefined || remote === undefined || queue === undefined) return
  const here = unmapped(local)
  const there = unmapped(remote)
  const ours = `${here}-${there}`
  if (wanted.has(ours))
    see(queues, ours, {
      unacknowledged: Number.parseInt(queue.slice(0, 8), 16),
      hasEnded: state === CLOSE_WAIT,
    })
  const theirs = `${there}-${here}`
  if (wanted.has(theirs)) see(queues, theirs, { unread: Number.parseInt(queue.slice(9), 16) })
}

/** A line that comes twice counts with its last value. */
function see(queues: Map<string, Partial<Queue>>, key: string, seen: Partial<Queue>): void {
  queues.set(key, { ...queues.get(key), ...seen })
}

const MAPPED = '0000000000000000FFFF0000'

function unmapped(address: string): string {
  return address.startsWith(MAPPED) ? address.slice(MAPPED.length) : address
}

export function keyOf({ localAddress, localPort, remoteAddress, remotePort }: Ends): string | null {
  if (
    localAddress === undefined ||
    remoteAddress === undefined ||
    localPort === undefined ||
    remotePort === undefined
  )
    return null
  const local = tableAddress(localAddress)
  const remote = tableAddress(remoteAddress)
  return local === null || remote === null
    ? null
    : `${local}:${tablePort(localPort)}-${remote}:${tablePort(remotePort)}`
}

function tablePort(port: number): string {
  return port.toString(16).toUpperCase().padStart(4, '0')
}

/**
 * The table prints addresses as 32-bit words of this machine: on the usual ones the bytes of each word are
 * reversed.
 */
function tableAddress(address: string): string | null {
  const { ip } = new Address(address, 0)
  return isIP(ip) === 0 ? null : words(bytesOf(ip))
}

function words(bytes: Buffer): string {
  let text = ''
  for (let at = 0; at < bytes.length; at += 4)
    text += bytes.readUInt32LE(at).toString(16).toUpperCase().padStart(8, '0')
  return text
}
