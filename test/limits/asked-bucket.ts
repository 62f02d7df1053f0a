// A bucket that must ask elsewhere, like those of a fleet, for tests of the parts that draw from it.

import { Bucket } from '../../src/limits/bucket.ts'

/** Its tokens are elsewhere: they come with an answer, or not. */
export class AskedBucket extends Bucket {
  isUnsure = false
  isAnswered = false

  override has(amount: number, now: number): boolean {
    const isThere = super.has(amount, now)
    this.isUnsure ||= !isThere && !this.isAnswered
    return isThere
  }

  override take(amount: number, now: number): boolean {
    const isThere = super.take(amount, now)
    this.isUnsure ||= !isThere && !this.isAnswered
    return isThere
  }

  answer(tokens: number, now: number): void {
    this.spend(-tokens, now)
    this.isUnsure = false
    this.isAnswered = true
  }
}
