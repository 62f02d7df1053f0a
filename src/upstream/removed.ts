// Removed addresses: those that are missing from their name's answers but still have connections. They get no
// new ones; `upstream.onRemoved` decides what becomes of the open ones:
//
//     keep   they go on, for a resolver may answer with a changing sample of the healthy addresses. An address that
//            does not accept either (two looks in a row, one after each answer; or its health checks) is evicted
//            like an unhealthy one.
//     end    two answers in a row without the address evict it.
//
// An eviction is paced, and stops if the address comes back.

import type { Clock } from '../core/clock.ts'
import type { Close } from '../core/close.ts'
import type { Connection } from '../core/connection.ts'
import type { Dial, SocketDialler } from './dial.ts'
import { isOurs, isWithoutLocalPort } from './failures.ts'
import { Eviction } from './eviction.ts'
import type { UpstreamTarget } from './target.ts'

/** Consecutive looks that find nobody listening. One alone may fall into a restart. */
const LOOKS = 2

export interface RemovedContext {
  onRemoved: 'keep' | 'end'
  clock: Clock
  connections: Iterable<Connection>
  dial(target: UpstreamTarget, dialler: SocketDialler): Dial
}

export class Removed {
  readonly #context: RemovedContext
  readonly #looks = new Map<UpstreamTarget, Look>()
  readonly #targets = new Set<UpstreamTarget>()

  constructor(context: RemovedContext) {
    this.#context = context
  }

  [Symbol.iterator](): IterableIterator<UpstreamTarget> {
    return this.#targets.values()
  }

  /** An answer lacked the target's address. */
  add(target: UpstreamTarget): void {
    this.#targets.add(target)
    target.clearKept()
  }

  /** The address came back before its last connection had ended: its other connections are spared. */
  restore(target: UpstreamTarget): void {
    if (!this.#targets.delete(target)) return
    this.#stopLook(target)
    target.presence = 'there'
    // A target that fails its health checks stays evicted.
    if (!target.isUnhealthy) target.spare()
  }

  /** Called after each answer and each problem; `missing`: the addresses that only one answer has lacked. */
  judge(missing: ReadonlySet<string>): void {
    for (const target of [...this.#targets]) {
      target.presence = missing.has(target.name) ? 'missing' : 'gone'
      if (target.presence === 'missing') continue
      if (target.open === 0) this.#drop(target)
      else if (this.#context.onRemoved === 'end')
        this.#evict(target, `${target.name} is gone from DNS (${target.from})`)
      else if (target.check === null) this.#look(target)
    }
  }

  /** A connection released its place. */
  onReleased(target: UpstreamTarget): void {
    if (target.open === 0 && target.presence === 'gone') this.#drop(target)
  }

  stop(): void {
    for (const target of [...this.#targets]) this.#drop(target)
  }

  #drop(target: UpstreamTarget): void {
    if (!this.#targets.delete(target)) return
    this.#stopLook(target)
    target.retire()
  }

  #evict(target: UpstreamTarget, detail: string): void {
    const { clock, connections } = this.#context
    target.eviction ??= new Eviction(target, detail, clock, connections)
  }

  #look(target: UpstreamTarget): void {
    let look = this.#looks.get(target)
    if (look === undefined) this.#looks.set(target, (look = { dial: null, failures: 0 }))
    if (look.dial !== null) return
    const seen = look
    seen.dial = this.#context.dial(target, {
      onSocket: (socket) => {
        socket.on('error', ignore)
        socket.destroy()
        seen.dial = null
        seen.failures = 0
        target.spare()
      },
      onDialFailed: (close) => {
        seen.dial = null
        this.#onFailed(target, seen, close)
      },
    })
  }

  #onFailed(target: UpstreamTarget, look: Look, close: Close): void {
    // Its connections may have all local ports to it.
    if (isOurs(close) || isWithoutLocalPort(close) || ++look.failures < LOOKS) return
    this.#evict(
      target,
      `${target.name} is gone from DNS (${target.from}), and a dial fails: ${close.detail ?? close.reason}`,
    )
  }

  #stopLook(target: UpstreamTarget): void {
    this.#looks.get(target)?.dial?.cancel()
    this.#looks.delete(target)
  }
}

interface Look {
  dial: Dial | null
  failures: number
}

function ignore(): void {}
