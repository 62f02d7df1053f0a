// The options and the context of a pair.

import type { Clock, Sweep } from '../core/clock.ts'
import type { Connection } from '../core/connection.ts'
import type { Live } from '../core/live.ts'
import type { Strain } from '../core/strain.ts'
import type { PairLimits } from '../limits/meter.ts'
import type { DeadlineOptions } from './deadlines.ts'
import type { BufferOptions } from './half.ts'

export interface PairDeadlines extends DeadlineOptions {
  /** Milliseconds without progress that the last flush and a closing handshake may take. */
  closeMs: number
}

export interface PairOptions {
  buffers: BufferOptions
  /** For the direction to the client, where its sink bounds itself; absent: `buffers`. */
  toClientBuffers?: BufferOptions
  /** Read at each judgement: a reload changes open pairs too. */
  deadlines: Live<PairDeadlines>
  /** Milliseconds of silence before TCP probes a peer; Infinity is off. */
  tcpKeepAliveMs: number
}

export interface PairContext {
  clock: Clock
  sweep: Sweep
  /** 0..1, for the jitter of lifetimes. */
  random: () => number
  strain: Strain
  /** Called once, when both sides are gone and `connection.end` has the reason. */
  onClosed: (connection: Connection) => void
  /** Absent where the listener limits nothing. */
  limits?: PairLimits
}
