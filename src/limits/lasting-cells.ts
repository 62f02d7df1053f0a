// The cells of a process with one thread on the path that outlive a reload: as long as anybody holds the
// count of a name, everybody who asks for that name gets the same. So the upstream after a reload counts the
// connections of the one before it.

import { LocalCount } from '../core/cells.ts'
import type { BucketRate, Cells, Count, Tokens } from '../core/cells.ts'
import { localCells } from './cells.ts'

/**
 * Names whose counts may be gone: more than a configuration has, and fewer than addresses come and go in a
 * long life.
 */
const MANY = 1024

export class LastingCells implements Cells {
  readonly isShared = false
  readonly #counts = new Map<string, WeakRef<Count>>()

  count(name: string): Count {
    const known = this.#counts.get(name)?.deref()
    if (known !== undefined) return known
    if (this.#counts.size >= MANY) this.#forget()
    const count = new LocalCount()
    this.#counts.set(name, new WeakRef(count))
    return count
  }

  bucket(name: string, rate: BucketRate, now: number): Tokens {
    return localCells.bucket(name, rate, now)
  }

  #forget(): void {
    for (const [name, count] of this.#counts) if (count.deref() === undefined) this.#counts.delete(name)
  }
}
