// Overload protection: acts when memory runs short, before the kernel ends the process with every connection
// in it. Envoy's overload manager is the model.
//
//     pressure = the largest of   memory used / limit,   bytes in our queues / memory.buffered,
//                                 and heap used / its limit (heap-gauge.ts)
//
//     0 ......... shedAt ........... refuseAt ........ 1
//        calm     |  idle deadlines  |  new work is refused, the largest stalled queues are shed
//                 |  shrink to 1/10  |  with `overloaded`, garbage is collected
//
// Over memory.buffered, queues are shed until they are below it, those of stalled peers first. A state ends
// five points below its beginning, so that it does not flap.
//
// All of it is one look a few times a second at numbers that exist anyway: adding up 10,000 connections takes
// 0.2 ms, 2 ms with cold caches (2 cores, Node 26.10, November 2026). From `shedAt` on looks come five times
// as often: a thousand streams of HTTP/2 take 45 MiB in a second, and a small container has six between
// `refuseAt` and its limit.

import type { Clock } from '../core/clock.ts'
import type { Log } from '../log/log.ts'
import type { StrainLevel } from '../core/strain.ts'
import { heapWarning } from './heap.ts'
import { memoryGauge } from './memory.ts'
import type { MemoryGauge, MemoryReading } from './memory.ts'
import { PacedCollector } from './paced-collector.ts'
import type { GateMemory, Queue } from './queues.ts'
import { chooseVictims } from './victims.ts'
import type { Excess } from './victims.ts'

/** Fractions of the container's limit; Infinity is off. */
export interface OverloadOptions {
  /** The most that may wait in all queues together, in bytes. */
  buffered: { share: number } | { bytes: number }
  shedAt: number
  refuseAt: number
}

/** All gates of the process. */
export interface OverloadGates {
  memory(): Promise<GateMemory>
  queues(): Promise<Queue[]>
  /** Ends each of these with `overloaded`. */
  shed(victims: ReadonlyArray<{ id: number; detail: string }>): void
  strain(level: StrainLevel): void
  collectGarbage(): void
}

export interface OverloadContext {
  clock: Clock
  log: Pick<Log, 'warn'>
  gates: OverloadGates
  read: () => MemoryReading
}

export interface OverloadView extends MemoryReading {
  /** 0..1. */
  pressure: number
  bufferedLimitBytes: number
  /** Of the heap with the least room. */
  heapShare: number
}

export const LOOK_MS = 250
/** While memory is short. */
const CLOSE_LOOK_MS = 50
/**
 * The share of idle deadlines that is left at `refuseAt`: an hour becomes six minutes, which spares
 * connections with a heartbeat.
 */
const IDLE_FLOOR = 0.1
const HYSTERESIS = 0.05
/** The young generation of V8 (src/cli/flags.ts) may be empty at a look and full a moment later. */
const MARGIN_BYTES = 12 * 1024 * 1024
const ROOM_STEP_BYTES = 1024 * 1024
/** Freed memory shows in the usage only later; until then we free no more for the same excess. */
const SETTLE_MS = 1000

export class Overload {
  /** May change at any time; the next look goes by it. */
  options: OverloadOptions
  readonly #context: OverloadContext
  readonly #collector: PacedCollector
  #stop: (() => void) | null = null
  #expectedAt = 0
  #view: OverloadView
  #isShrinking = false
  #isLooking = false
  #level: StrainLevel = {
    idleScale: 1,
    isRefusing: false,
    isWatching: false,
    refuseAt: Number.POSITIVE_INFINITY,
    bufferedBytes: Number.POSITIVE_INFINITY,
    roomBytes: Number.POSITIVE_INFINITY,
  }
  #settledAt = Number.NEGATIVE_INFINITY
  /** Connections ended in the present state of refusal. */
  #ended = 0

  constructor(options: OverloadOptions, context: OverloadContext) {
    this.options = options
    this.#context = context
    this.#collector = new PacedCollector(context.clock, () => context.gates.collectGarbage())
    this.#view = this.#look({ queuedBytes: 0, heapShare: 0 })
  }

  start(): void {
    const { clock } = this.#context
    this.#impose({})
    this.#expectedAt = clock.now() + LOOK_MS
    this.#stop = clock.every(LOOK_MS, () => void this.#onTick())
  }

  stop(): void {
    this.#stop?.()
    this.#stop = null
  }

  #lookEvery(ms: number): void {
    // Stopped while it looked.
    if (this.#stop === null) return
    this.#stop()
    this.#stop = this.#context.clock.every(ms, () => void this.#onTick())
  }

  /** As of the last look. */
  get view(): OverloadView {
    return this.#view
  }

  get isRefusing(): boolean {
    return this.#level.isRefusing
  }

  /** Gates get a changed level, and nothing else. */
  #impose(change: Partial<StrainLevel>): void {
    const bufferedBytes = this.#view.bufferedLimitBytes
    const { refuseAt } = this.options
    const next = { ...this.#level, ...change, refuseAt, bufferedBytes, roomBytes: this.#room }
    const isSame = (Object.keys(next) as (keyof StrainLevel)[]).every((key) => next[key] === this.#level[key])
    this.#level = next
    if (!isSame) this.#context.gates.strain(next)
  }

  /**
   * In whole steps, so that gates hear of no smaller change; and one at the least, so that a tight container
   * serves a few at a time.
   */
  get #room(): number {
    const { usageBytes, limitBytes } = this.#view
    const bytes = this.options.refuseAt * limitBytes - usageBytes - MARGIN_BYTES
    return Math.max(1, Math.floor(bytes / ROOM_STEP_BYTES)) * ROOM_STEP_BYTES
  }

  #look(memory: GateMemory): OverloadView {
    return this.#viewOf(this.#context.read(), memory)
  }

  #viewOf({ limitBytes, usageBytes }: MemoryReading, { queuedBytes, heapShare }: GateMemory): OverloadView {
    const { buffered } = this.options
    const bufferedLimitBytes = 'bytes' in buffered ? buffered.bytes : buffered.share * limitBytes
    const queued = queuedBytes / bufferedLimitBytes
    const pressure = Math.min(1, Math.max(usageBytes / limitBytes, queued, heapShare))
    return { limitBytes, usageBytes, bufferedLimitBytes, heapShare, pressure }
  }

  async #onTick(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    await this.#lookAndAct().finally(() => (this.#isLooking = false))
  }

  async #lookAndAct(): Promise<void> {
    const askedAt = this.#context.clock.now()
    const memory = await this.#context.gates.memory()
    const { queuedBytes, heapShare } = memory
    const now = this.#context.clock.now()
    // We or a gate stood still: bytes that the peers took meanwhile are not counted yet; the next look counts
    // them.
    const isLate = askedAt - this.#expectedAt > LOOK_MS || now - askedAt > LOOK_MS
    this.#expectedAt = now + LOOK_MS
    this.#view = this.#look(memory)
    const freed = isLate ? 0 : await this.#shed(queuedBytes, now)
    // New work is refused only for bytes that still wait once the victims are gone.
    if (freed > 0) this.#view = this.#viewOf(this.#view, { queuedBytes: queuedBytes - freed, heapShare })
    this.#judge()
    this.#collect()
  }

  #judge(): void {
    const { shedAt, refuseAt } = this.options
    const { pressure } = this.#view
    const isShrinking = pressure >= (this.#isShrinking ? shedAt - HYSTERESIS : shedAt)
    if (isShrinking !== this.#isShrinking) {
      this.#lookEvery(isShrinking ? CLOSE_LOOK_MS : LOOK_MS)
      this.#tell(
        isShrinking
          ? 'memory runs short: idle deadlines are shortened'
          : 'memory is no longer short: idle deadlines are as configured',
      )
    }
    this.#isShrinking = isShrinking
    const wasRefusing = this.#level.isRefusing
    const isRefusing = pressure >= (wasRefusing ? refuseAt - HYSTERESIS : refuseAt)
    this.#impose({
      idleScale: idleScale(pressure, shedAt, refuseAt),
      isRefusing,
      isWatching: isShrinking || isRefusing || pressure === 1,
    })
    if (isRefusing === wasRefusing) return
    if (isRefusing) return this.#tell('overloaded: new work is refused')
    this.#tell('no longer overloaded: new work is accepted', { ended: this.#ended })
    this.#ended = 0
  }

  #tell(message: string, fields: Record<string, number> = {}): void {
    const { pressure, usageBytes, limitBytes, heapShare } = this.#view
    this.#context.log.warn(message, {
      pressure: hundredths(pressure),
      usageBytes,
      limitBytes,
      heapShare: hundredths(heapShare),
      ...fields,
    })
  }

  /** Ends connections until the queues are within their bound; resolves with the bytes that they held. */
  async #shed(queuedBytes: number, now: number): Promise<number> {
    const excess = this.#excess(queuedBytes, now)
    if (excess.stalledBytes <= 0 && excess.anyBytes <= 0) return 0
    const key = queuedBytes > this.#view.bufferedLimitBytes ? 'memory.buffered' : 'memory.refuseAt'
    const victims = chooseVictims(await this.#context.gates.queues(), excess)
    this.#context.gates.shed(
      victims.map(({ id, bytes, quietMs }) => ({
        id,
        detail: `held ${bytes} bytes, of which none was taken for ${(quietMs / 1000).toFixed(1)}s (${key})`,
      })),
    )
    this.#ended += victims.length
    if (victims.length > 0 && this.#isUsedUp) this.#settledAt = now + SETTLE_MS
    return victims.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  get #isUsedUp(): boolean {
    const { usageBytes, limitBytes } = this.#view
    return usageBytes >= this.options.refuseAt * limitBytes
  }

  #excess(queuedBytes: number, now: number): Excess {
    const { refuseAt } = this.options
    const { usageBytes, limitBytes, bufferedLimitBytes } = this.#view
    const endsAt = refuseAt - HYSTERESIS
    const over = queuedBytes - bufferedLimitBytes
    // Refusal ends only once stalled peers hold less than that.
    const isFull = this.isRefusing || queuedBytes >= refuseAt * bufferedLimitBytes
    const overAtEnd = isFull ? queuedBytes - endsAt * bufferedLimitBytes : 0
    if (!this.#isUsedUp || now < this.#settledAt)
      return { stalledBytes: Math.max(over, overAtEnd), anyBytes: over }
    const tooMuch = usageBytes - endsAt * limitBytes
    // Half way from there to the limit, the kernel is about to end all connections.
    const isLast = usageBytes / limitBytes >= (refuseAt + 1) / 2
    return {
      stalledBytes: Math.max(over, overAtEnd, tooMuch),
      anyBytes: isLast ? Math.max(over, tooMuch) : over,
    }
  }

  #collect(): void {
    const { usageBytes, limitBytes } = this.#view
    if (this.isRefusing && usageBytes / limitBytes >= this.options.refuseAt - HYSTERESIS)
      this.#collector.collect()
  }
}

/** The watch over this process's memory; warns of a heap that may outgrow its container. */
export function makeOverload(
  options: OverloadOptions,
  context: Omit<OverloadContext, 'read'>,
  memory: MemoryGauge = memoryGauge(),
): Overload {
  const warning = memory.cgroup === null ? null : heapWarning(memory.read().limitBytes)
  if (warning !== null) context.log.warn(warning)
  return new Overload(options, { ...context, read: () => memory.read() })
}

function hundredths(share: number): number {
  return Math.round(share * 100) / 100
}

/** 1 up to `shedAt`, then linearly down to the floor at `refuseAt`. */
export function idleScale(pressure: number, shedAt: number, refuseAt: number): number {
  if (pressure < shedAt) return 1
  const end = Math.min(refuseAt, 1)
  if (pressure >= end) return IDLE_FLOOR
  return 1 - (1 - IDLE_FLOOR) * ((pressure - shedAt) / (end - shedAt))
}
