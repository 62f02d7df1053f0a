// The addresses that sent a wrong token lately. Each request of such an address waits before it is judged:
// with the bound on connections that leaves it some sixty guesses a second, however it asks. The address
// waits and not the server, so an operator at another address notices nothing, and one who mistyped a token
// waits a second for the next answers.

import type { Clock } from '../core/clock.ts'
import { Address, networkOf } from '../core/address.ts'

/** The wait of a request before it is judged. */
export const SLOWED_MS = 1000
/** After the last wrong token. */
const FORGOTTEN_MS = 10_000
/** Beyond it the longest known address is forgotten: an attacker with so many addresses is not slowed. */
const MAX_ADDRESSES = 1024
/** Peers on a unix socket cannot be distinguished. */
const NOBODY = 'unix'

export class FailedTokens {
  readonly #clock: Clock
  /** When each address failed last, the longest known first. */
  readonly #failed = new Map<string, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  note(address: string | undefined): void {
    const key = keyOf(address)
    this.#failed.delete(key)
    this.#failed.set(key, this.#clock.now())
    if (this.#failed.size <= MAX_ADDRESSES) return
    for (const [oldest] of this.#failed) {
      this.#failed.delete(oldest)
      break
    }
  }

  isSlowed(address: string | undefined): boolean {
    const at = this.#failed.get(keyOf(address))
    return at !== undefined && this.#clock.now() - at < FORGOTTEN_MS
  }
}

function keyOf(address: string | undefined): string {
  return address === undefined ? NOBODY : networkOf(new Address(address, null).ip)
}
