// The kernel's queue for a peer: how many of the bytes that the kernel took the peer has not taken. It makes
// a slow reader visible.
//
// Once a send buffer is full, Linux says "writable" again only after a third of it has drained, a megabyte on
// loopback: a reader of 30 KB/s looks stalled for half a minute, and would be killed while it reads. The
// kernel knows better, and Node has no call for it (SIOCOUTQ, TCP_INFO), but /proc/net/tcp shows for each
// socket the bytes sent and not acknowledged, and, for a peer in the same network namespace (a sidecar's
// upstream), also the bytes unread there.
//
// We ask only for sockets that look stalled: one read of the files for all of them, a few times a second at
// the most. The files are opened once and kept open (`prepare`): slow readers are many just when no
// descriptor is left.
//
//     every file is missing     the system shows nothing: progress is as coarse as the kernel's "writable"
//     one cannot be read        that look is lost and counted. Sockets that it found are reported; the
//     (EMFILE, or no tcp6)      others may be in the other file: they are unknown, which is no progress
//     all were read             a socket that is in no file, and was not in the look before, holds nothing any
//                               more: while sockets come and go, the kernel skips some and lists others twice

import { CHUNK_BYTES, eachLine, keyOf, openTable, readLine, readTable } from './kernel-table.ts'
import type { Ends, Queue, TableFile } from './kernel-table.ts'

/**
 * The least time between two looks, in milliseconds, and as a multiple of what a look costs: the time for
 * which it keeps this thread busy, and the kernel's. A look's duration would be the wrong measure: with a
 * full event loop it waits for many turns, and costs no more.
 */
const GAP_MS = 100
const GAP_FACTOR = 10
/** Milliseconds that the kernel takes to write a byte of a table: 1 us for a line (measured, Linux 6.18). */
const KERNEL_MS = 7e-6

/**
 * `unread` is the part of `bytes` that has reached the peer's socket on this machine, and was not read from
 * it. `hasEnded`: the peer has sent FIN.
 */
type Report = (bytes: number, unread: number, hasEnded: boolean) => void

interface Asked {
  report: Report
  onBegin: (() => void) | undefined
}

export interface KernelQueueOptions {
  /** Rejects with the system's error; ENOENT: there is no such table. */
  open: (path: string) => Promise<TableFile>
  now: () => number
}

const PATHS = ['/proc/self/net/tcp', '/proc/self/net/tcp6']

/** The outcome of one table in one look. */
type Seen = 'all' | 'nothing' | 'no table'
type Table = { path: string; file: TableFile | null; isMissing: boolean }

export class KernelQueue {
  readonly #options: KernelQueueOptions
  readonly #tables: readonly Table[] = PATHS.map((path) => ({ path, file: null, isMissing: false }))
  /** The sockets of the next look: from `local-remote` to the callbacks of the view that asked. */
  #asked = new Map<string, Asked>()
  /** The queues that the last look saw. */
  #before = new Map<string, Partial<Queue>>()
  #isLooking = false
  #nextAt = Number.NEGATIVE_INFINITY
  #buffer: Buffer | null = null
  /** Milliseconds of work on the look under way, of this thread and of the kernel. */
  #costMs = 0
  /** Looks in which a table could not be read. */
  lost = 0

  constructor(options: KernelQueueOptions) {
    this.#options = options
  }

  /** Opens the files, while there are descriptors. Each look tries again for a file that did not open. */
  async prepare(): Promise<void> {
    for (const table of this.#tables) await this.#open(table).catch(() => {})
  }

  /**
   * Reports, a moment later, how many bytes that the kernel took from `socket` the peer has not taken.
   * Callers call it again while they want the figure: a call too soon after a look waits for the next. The
   * report shows what the kernel took up to `onBegin`, and perhaps some that it took later. False: the system
   * does not show it.
   */
  measure(socket: Ends, report: Report, onBegin?: () => void): boolean {
    const key = keyOf(socket)
    if (key === null || this.#isMissing) return false
    this.#asked.set(key, { report, onBegin })
    if (!this.#isLooking && this.#options.now() >= this.#nextAt) void this.#look()
    return true
  }

  get #isMissing(): boolean {
    return this.#tables.every(({ isMissing }) => isMissing)
  }

  async #look(): Promise<void> {
    this.#isLooking = true
    this.#costMs = 0
    const wanted = this.#asked
    this.#asked = new Map()
    for (const { onBegin } of wanted.values()) onBegin?.()
    const queues = new Map<string, Partial<Queue>>()
    const seen: Seen[] = []
    for (const table of this.#tables) seen.push(await this.#readTable(table, wanted, queues))
    this.#nextAt = this.#options.now() + Math.max(GAP_MS, this.#costMs * GAP_FACTOR)
    this.#isLooking = false
    if (seen.includes('nothing')) this.lost++
    const isWhole = seen.every((what) => what === 'all')
    for (const [key, { report }] of wanted) {
      if (!isWhole && !queues.has(key)) continue
      const {
        unacknowledged = 0,
        unread = 0,
        hasEnded = false,
      } = { ...this.#before.get(key), ...queues.get(key) }
      report(unacknowledged + unread, unread, hasEnded)
    }
    this.#before = queues
  }

  async #readTable(
    table: Table,
    wanted: ReadonlyMap<string, unknown>,
    queues: Map<string, Partial<Queue>>,
  ): Promise<Seen> {
    try {
      const file = await this.#open(table)
      if (file === null) return 'no table'
      const buffer = (this.#buffer ??= Buffer.allocUnsafeSlow(CHUNK_BYTES))
      const bytes = await readTable(file, buffer, (filled) => {
        const startedAt = this.#options.now()
        const rest = eachLine(buffer, filled, (line) => readLine(line, wanted, queues))
        this.#costMs += this.#options.now() - startedAt
        return rest
      })
      this.#costMs += bytes * KERNEL_MS
      return 'all'
    } catch {
      return 'nothing'
    }
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

/** The one of this process. */
export const kernelQueue = new KernelQueue({ open: openTable, now: () => performance.now() })
