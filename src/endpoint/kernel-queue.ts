// How much of what the kernel took for a peer the peer has not: what makes a slow reader visible.
//
// Once its send buffer is full, Linux says "writable" again only after a third of it drained, which is a megabyte on
// loopback: a reader of 30 KB/s looks stalled for half a minute, and would be killed while it reads. The kernel knows
// better, and Node has no call for it (SIOCOUTQ, TCP_INFO), but /proc/net/tcp shows for each socket what it has sent and
// was not acknowledged, and, for a peer in the same network namespace (a sidecar's upstream), also what lies unread there.
//
// Asked only for sockets that look stalled, one read of the files for all of them, a few times a second at the most. Their
// descriptors are opened once and kept (`prepare`): slow readers are many just when there is none left.
//
//     every file is missing     the system does not tell: progress is as coarse as the kernel's "writable"
//     one cannot be read        that look is lost and counted. What was found is reported; what was not found may be in the
//     (EMFILE, or no tcp6)      other file, so it is unknown, and no progress
//     all were read             a socket that is listed nowhere, and was not in the look before, holds nothing any more: while sockets come
//                               and go, the kernel passes some over that are there, and lists others twice

import { open, read } from 'node:fs'
import { isIP } from 'node:net'
import { Address, bytesOf } from '../core/address.ts'
import type { Socket } from 'node:net'
import { promisify } from 'node:util'

/**
 * At least this long between two looks, and as many times as long as one keeps this thread busy (the kernel is busy for about as
 * long). Not as long as it takes: where the event loop is full a look waits for many of its turns, and costs no more.
 */
const GAP_MS = 100
const GAP_FACTOR = 10
const CHUNK_BYTES = 64 * 1024

/** So many sweeps, ten seconds at the most, a verdict waits for a fresh look: beside 100,000 sockets in TIME_WAIT one takes that long. */
export const PATIENT_SWEEPS = 40

/** As the state of a line. These may be many, and hold nothing. */
const TIME_WAIT = ' 06 '

/** `unread` is the part of `bytes` that has reached the peer's socket on this machine, and was not read from it. */
type Report = (bytes: number, unread: number) => void

interface Queue {
  unacknowledged: number
  unread: number
}

/** Four addresses and ports, as a connected socket has them. */
export type Ends = Partial<Pick<Socket, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>>

/** One table of the kernel. */
export interface TableFile {
  /** Fills `buffer` from that byte of the file on; 0 at its end. */
  read(buffer: Buffer, position: number): Promise<number>
}

export interface KernelQueueOptions {
  /** Rejects with what the system says; ENOENT: there is no such table. */
  open: (path: string) => Promise<TableFile>
  now: () => number
}

const PATHS = ['/proc/self/net/tcp', '/proc/self/net/tcp6']

/** Of one table in one look. */
type Seen = 'all' | 'nothing' | 'no table'
type Table = { path: string; file: TableFile | null; isMissing: boolean }

export class KernelQueue {
  readonly #options: KernelQueueOptions
  readonly #tables: readonly Table[] = PATHS.map((path) => ({ path, file: null, isMissing: false }))
  /** The sockets of the next look: `local-remote` to the views that asked. */
  #asked = new Map<string, Report>()
  /** As the last look saw them. */
  #before = new Map<string, Partial<Queue>>()
  #isLooking = false
  #nextAt = Number.NEGATIVE_INFINITY
  #buffer: Buffer | null = null
  /** Milliseconds that this thread has worked on the look that is under way. */
  #busyMs = 0
  /** Looks in which a table could not be read. */
  lost = 0

  constructor(options: KernelQueueOptions) {
    this.#options = options
  }

  /** Opens the files, while there are descriptors. One that cannot be opened is tried again with each look. */
  async prepare(): Promise<void> {
    for (const table of this.#tables) await this.#open(table).catch(() => {})
  }

  /**
   * Reports, a moment later, how many bytes that the kernel took from `socket` its peer has not taken. To be called again while
   * the figure is wanted: calls that come too soon after a look wait for the next. False: the system does not tell.
   */
  measure(socket: Ends, report: Report): boolean {
    const key = keyOf(socket)
    if (key === null || this.#isMissing) return false
    this.#asked.set(key, report)
    if (!this.#isLooking && this.#options.now() >= this.#nextAt) void this.#look()
    return true
  }

  get #isMissing(): boolean {
    return this.#tables.every(({ isMissing }) => isMissing)
  }

  async #look(): Promise<void> {
    this.#isLooking = true
    this.#busyMs = 0
    const wanted = this.#asked
    this.#asked = new Map()
    const queues = new Map<string, Partial<Queue>>()
    const seen: Seen[] = []
    for (const table of this.#tables) seen.push(await this.#readTable(table, wanted, queues))
    this.#nextAt = this.#options.now() + Math.max(GAP_MS, this.#busyMs * GAP_FACTOR)
    this.#isLooking = false
    if (seen.includes('nothing')) this.lost++
    const isWhole = seen.every((what) => what === 'all')
    for (const [key, report] of wanted) {
      if (!isWhole && !queues.has(key)) continue
      const { unacknowledged = 0, unread = 0 } = { ...this.#before.get(key), ...queues.get(key) }
      report(unacknowledged + unread, unread)
    }
    this.#before = queues
  }

  async #readTable(
    table: Table,
    wanted: ReadonlyMap<string, Report>,
    queues: Map<string, Partial<Queue>>,
  ): Promise<Seen> {
    try {
      const file = await this.#open(table)
      if (file === null) return 'no table'
      await readLines(file, (this.#buffer ??= Buffer.allocUnsafeSlow(CHUNK_BYTES)), (lines) =>
        this.#readChunk(lines, wanted, queues),
      )
      return 'all'
    } catch {
      return 'nothing'
    }
  }

  #readChunk(
    lines: () => string[],
    wanted: ReadonlyMap<string, Report>,
    queues: Map<string, Partial<Queue>>,
  ): void {
    const startedAt = this.#options.now()
    for (const line of lines()) readLine(line, wanted, queues)
    this.#busyMs += this.#options.now() - startedAt
  }

  async #open(table: Table): Promise<TableFile | null> {
    if (table.file !== null || table.isMissing) return table.file
    try {
      return (table.file = await this.#options.open(table.path))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      table.isMissing = true
      return null
    }
  }
}

/** That of this process. */
export const kernelQueue = new KernelQueue({ open: openTable, now: () => performance.now() })

const openFile = promisify(open)
const readFile = promisify(read)

/** The number alone: a FileHandle would be closed with its last reference, and warn of it. */
async function openTable(path: string): Promise<TableFile> {
  const descriptor = await openFile(path, 'r')
  return {
    read: async (buffer, position) =>
      (await readFile(descriptor, buffer, 0, buffer.length, position)).bytesRead,
  }
}

async function readLines(
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

/** `   0: 0100007F:1F90 0100007F:A2B4 01 00012345:00000000 ...`: slot, local, remote, state, unacknowledged and unread bytes. */
function readLine(
  line: string,
  wanted: ReadonlyMap<string, Report>,
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

/** Of a line that comes twice the last one counts. */
function see(queues: Map<string, Partial<Queue>>, key: string, seen: Partial<Queue>): void {
  queues.set(key, { ...queues.get(key), ...seen })
}

const MAPPED = '0000000000000000FFFF0000'

function unmapped(address: string): string {
  return address.startsWith(MAPPED) ? address.slice(MAPPED.length) : address
}

function keyOf({ localAddress, localPort, remoteAddress, remotePort }: Ends): string | null {
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

/** The table prints addresses as the 32-bit words of this machine: the bytes of each word are reversed on the usual ones. */
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
