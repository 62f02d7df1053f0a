// Tells when files have changed: those of a mounted ConfigMap or Secret, or any other. What counts is their content: however
// often a file is touched, a change is told once.
//
// Kubernetes swaps a symbolic link (`..data`) in the mounted directory, so the directory is watched: a watch on the file sees
// the first swap and no other. A slow poll finds what no event tells of (a network file system, a link to elsewhere).

import { closeSync, openSync, readSync, watch } from 'node:fs'
import type { FSWatcher } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Clock } from '../clock.ts'
import { nodeCrypto } from '../node-lazy.ts'

/** A swap is several events, and a file that is written in place is several more. */
const SETTLE_MS = 500
const POLL_MS = 15_000
/** A Secret holds no more; whatever a path leads to, no more than this is read. */
export const MAX_FILE_BYTES = 1024 * 1024

export interface WatchOptions {
  clock: Clock
  /** The content of one of the files is another than it was, or one has gone or come. */
  onChange: () => void
}

/** Watches until the returned function is called. What the files hold at this moment is what changes are told from. */
export function watchFiles(paths: readonly string[], { clock, onChange }: WatchOptions): () => void {
  const files = new WatchedFiles(paths, clock, onChange)
  return () => files.stop()
}

class WatchedFiles {
  readonly #paths: readonly string[]
  readonly #clock: Clock
  readonly #onChange: () => void
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #stopPolling: () => void
  #stopSettling: (() => void) | null = null
  #seen: string
  #state: 'resting' | 'looking' | 'looking, and again' | 'stopped' = 'resting'

  constructor(paths: readonly string[], clock: Clock, onChange: () => void) {
    this.#paths = paths
    this.#clock = clock
    this.#onChange = onChange
    this.#watchDirectories()
    this.#seen = digest(paths.map(readNow))
    this.#stopPolling = clock.every(POLL_MS, () => {
      this.#watchDirectories()
      void this.#look()
    })
  }

  stop(): void {
    this.#state = 'stopped'
    this.#stopPolling()
    this.#stopSettling?.()
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
  }

  /** A directory that is not there (any more) is tried again with each poll. */
  #watchDirectories(): void {
    for (const directory of new Set(this.#paths.map((path) => dirname(path)))) {
      if (this.#watchers.has(directory)) continue
      try {
        const watcher = watch(directory, { persistent: false }, () => this.#settle())
        watcher.on('error', () => this.#drop(directory))
        this.#watchers.set(directory, watcher)
      } catch {
        // No such directory, or no inotify instance left: the poll does what it would.
      }
    }
  }

  #drop(directory: string): void {
    this.#watchers.get(directory)?.close()
    this.#watchers.delete(directory)
  }

  #settle(): void {
    if (this.#state === 'stopped') return
    this.#stopSettling ??= this.#clock.after(SETTLE_MS, () => {
      this.#stopSettling = null
      void this.#look()
    })
  }

  async #look(): Promise<void> {
    if (this.#state !== 'resting') {
      if (this.#state === 'looking') this.#state = 'looking, and again'
      return
    }
    this.#state = 'looking'
    const now = digest(await Promise.all(this.#paths.map(readLater)))
    if (this.#isStopped()) return
    const isAgain = this.#isAgain()
    this.#state = 'resting'
    if (now !== this.#seen) {
      this.#seen = now
      this.#onChange()
    }
    if (isAgain) void this.#look()
  }

  // Asked behind an await, across which the compiler takes the state for what it was.
  #isStopped(): boolean {
    return this.#state === 'stopped'
  }

  #isAgain(): boolean {
    return this.#state === 'looking, and again'
  }
}

/** The content, at most `MAX_FILE_BYTES` and one byte of it, or the code of the error. */
type Content = Buffer | string

function readNow(path: string): Content {
  try {
    const descriptor = openSync(path, 'r')
    try {
      const buffer = Buffer.alloc(MAX_FILE_BYTES + 1)
      let length = 0
      for (let read = -1; read !== 0 && length < buffer.length; length += read) read = readSync(descriptor, buffer, length, buffer.length - length, null)
      return buffer.subarray(0, length)
    } finally {
      closeSync(descriptor)
    }
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'unreadable'
  }
}

async function readLater(path: string): Promise<Content> {
  return readBounded(path).catch((error: NodeJS.ErrnoException) => error.code ?? 'unreadable')
}

/** At most `MAX_FILE_BYTES` and one byte, whatever the file is. Rejects with the system's error. */
export async function readBounded(path: string): Promise<Buffer> {
  await using handle = await open(path)
  const buffer = Buffer.alloc(MAX_FILE_BYTES + 1)
  let length = 0
  while (length < buffer.length) {
    const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return Buffer.from(buffer.subarray(0, length))
}

function digest(contents: readonly Content[]): string {
  const hash = nodeCrypto().createHash('sha256')
  for (const content of contents) {
    hash.update(`${typeof content} ${content.length}\n`)
    hash.update(typeof content === 'string' ? Buffer.from(content) : content)
  }
  return hash.digest('hex')
}
