// The log of refused connections: the first at once, then one line a second for each listener, reason and
// detail, with their number; the last of a kind may have no address. A flood of refusals must not become a
// flood of lines, and no refusal is counted under the words of another.

import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { Log } from './log.ts'

const EVERY_MS = 1000
/**
 * Kinds that are distinguished at a time. Most details are ours, but some are OpenSSL's or quote a peer;
 * further kinds are counted together.
 */
const MAX_KINDS = 256
const OTHERS = 'of several kinds'

interface Kind {
  listener: string
  close: Close
  at: number
  /** Refusals since then, without their own line. */
  since: number
}

type OnReport = (listener: string, close: Close, client: string | undefined, count: number) => void

export class Rejections {
  readonly #log: Pick<Log, 'info' | 'debug' | 'probes'>
  readonly #clock: Clock
  readonly #onReport: OnReport
  readonly #kinds = new Map<string, Kind>()
  #stop: (() => void) | null = null

  /** `onReport` gets the same data as the log. */
  constructor(log: Pick<Log, 'info' | 'debug' | 'probes'>, clock: Clock, onReport: OnReport = () => {}) {
    this.#log = log
    this.#onReport = onReport
    this.#clock = clock
  }

  /** `client` reads the address of this one; it is not called for refusals that are only counted. */
  note(listener: string, close: Close, client: () => string): void {
    const kind = this.#find(listener, close)
    const now = this.#clock.now()
    if (now - kind.at < EVERY_MS) {
      kind.since++
      return
    }
    this.#report(kind, client(), kind.since + 1)
    kind.at = now
    kind.since = 0
  }

  #find(listener: string, close: Close): Kind {
    const key = keyOf(listener, close)
    const known = this.#kinds.get(key)
    if (known !== undefined) return known
    const isRoom = this.#kinds.size < MAX_KINDS || close.detail === OTHERS
    if (!isRoom) return this.#find(listener, { ...close, detail: OTHERS })
    const kind = { listener, close, at: Number.NEGATIVE_INFINITY, since: 0 }
    this.#kinds.set(key, kind)
    this.#stop ??= this.#clock.every(EVERY_MS, () => this.#onTick())
    return kind
  }

  /** Reports counts that no later refusal has reported, and forgets the kind. */
  #onTick(): void {
    const now = this.#clock.now()
    for (const [key, kind] of this.#kinds) {
      if (now - kind.at < 2 * EVERY_MS) continue
      if (kind.since > 0) this.#report(kind, undefined, kind.since)
      this.#kinds.delete(key)
    }
    if (this.#kinds.size > 0) return
    this.#stop?.()
    this.#stop = null
  }

  #report({ listener, close }: Kind, client: string | undefined, count: number): void {
    const { reason, side, phase, detail } = close
    const fields = { listener, client, close: reason, side, phase, detail, count }
    if (close.isProbe === true && !this.#log.probes) return this.#log.debug('connection refused', fields)
    this.#onReport(listener, close, client, count)
    this.#log.info('connection refused', fields)
  }
}

function keyOf(listener: string, { reason, side, phase, detail = '' }: Close): string {
  return `${listener} ${reason} ${side} ${phase} ${detail}`
}
