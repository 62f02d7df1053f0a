// A watch over files: those of a mounted ConfigMap or Secret, or any other. Only their content counts:
// however often a file is touched, a change is reported once.

import { closeSync, openSync, readSync } from 'node:fs'
import { MAX_FILE_BYTES, readBounded } from './bounded-file.ts'
import type { Clock } from '../core/clock.ts'
import { nodeCrypto } from '../core/late.ts'
import { DirectoryWatch } from './directory-watch.ts'

export interface WatchOptions {
  clock: Clock
  /** The content of one of the files has changed, or one was removed or created. */
  onChange: () => void
}

/** Watches until the returned function is called. Changes count from the content at the call. */
export function watchFiles(paths: readonly string[], { clock, onChange }: WatchOptions): () => void {
  const files = new WatchedFiles(paths, clock, onChange)
  return () => files.stop()
}

class WatchedFiles {
  readonly #paths: readonly string[]
  readonly #onChange: () => void
  readonly #watch: DirectoryWatch
  #seen: string
  #state: 'resting' | 'looking' | 'looking, and again' | 'stopped' = 'resting'

  constructor(paths: readonly string[], clock: Clock, onChange: () => void) {
    this.#paths = paths
    this.#onChange = onChange
    // The watch starts before the read, or a change between the two would be missed. Any event is a sign:
    // links may lead to any name.
    this.#watch = new DirectoryWatch({
      files: paths,
      clock,
      isSign: () => true,
      onChange: () => void this.#look(),
    })
    this.#seen = digest(paths.map(readNow))
  }

  stop(): void {
    this.#state = 'stopped'
    this.#watch.stop()
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

  // A method, since the compiler assumes that the state stays the same across an await.
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
      for (let read = -1; read !== 0 && length < buffer.length; length += read)
        read = readSync(descriptor, buffer, length, buffer.length - length, null)
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

function digest(contents: readonly Content[]): string {
  const hash = nodeCrypto().createHash('sha256')
  for (const content of contents) {
    hash.update(`${typeof content} ${content.length}\n`)
    hash.update(typeof content === 'string' ? Buffer.from(content) : content)
  }
  return hash.digest('hex')
}
