// The kernel's tables of TCP sockets (/proc/net/tcp, tcp6), as text: one line for each socket.

import { open, read } from 'node:fs'
import { isIP } from 'node:net'
import type { Socket } from 'node:net'
import { promisify } from 'node:util'
import { Address, bytesOf } from '../core/address.ts'

export const CHUNK_BYTES = 64 * 1024

/** In the state column of a line. Such sockets may be many, and hold nothing. */
const TIME_WAIT = ' 06 '

export interface Queue {
  unacknowledged: number
  unread: number
}

/** Both addresses and ports of a connected socket. */
export type Ends = Partial<Pick<Socket, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>>

/** One table of the kernel's. */
export interface TableFile {
  /** Fills `buffer` from byte `position` of the file on; resolves to 0 at its end. */
  read(buffer: Buffer, position: number): Promise<number>
}

const openFile = promisify(open)
const readFile = promisify(read)

/** A bare descriptor: a FileHandle would be closed with its last reference, and warn of it. */
export async function openTable(path: string): Promise<TableFile> {
  const descriptor = await openFile(path, 'r')
  return {
    read: async (buffer, position) =>
      (await readFile(descriptor, buffer, 0, buffer.length, position)).bytesRead,
  }
}

export async function readLines(
  file: TableFile,
  buffer: Buffer,
  onChunk: (lines: () => string[]) => void,
): Promise<void> {
  let rest = ''
  let position = 0
  for (;;) {
    const length = await file.read(buffer, position)
    if (length === 0) return
    position += length
    onChunk(() => {
      const lines = (rest + buffer.toString('latin1', 0, length)).split('\n')
      rest = lines.pop()!
      return lines
    })
  }
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
  if (line.includes(TIME_WAIT)) return
  const [, local, remote, , queue] = line.trim().split(' ', 5)
  if (local === undefined || remote === undefined || queue === undefined) return
  const here = unmapped(local)
  const there = unmapped(remote)
  const ours = `${here}-${there}`
  if (wanted.has(ours)) see(queues, ours, { unacknowledged: Number.parseInt(queue.slice(0, 8), 16) })
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
