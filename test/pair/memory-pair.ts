// A Pair over two memory endpoints and a clock that stands still. Every deadline is off unless the test sets it.

import { Sweep } from '../../src/core/clock.ts'
import { fixed } from '../../src/core/live.ts'
import { Connection } from '../../src/core/connection.ts'
import type { Close } from '../../src/core/close.ts'
import type { DeadlineOptions } from '../../src/pair/deadlines.ts'
import type { Dialogue } from '../../src/pair/dialogue.ts'
import type { BufferOptions } from '../../src/pair/half.ts'
import type { PairLimits } from '../../src/limits/meter.ts'
import { Pair } from '../../src/pair/pair.ts'
import { calm } from '../../src/core/strain.ts'
import { noOwner } from '../../src/admission/refusal.ts'
import { fakeClock, type FakeClock } from '../support/fake-clock.ts'
import { MemoryEndpoint } from '../support/memory-endpoint.ts'
import { addressOf } from '../support/addresses.ts'

const off = Number.POSITIVE_INFINITY

export interface MemoryPairOptions {
  deadlines?: Partial<DeadlineOptions>
  buffers?: BufferOptions
  closeMs?: number
  tcpKeepAliveMs?: number
  dialogue?: Dialogue | null
  /** A dialogue that has to know its connection. */
  dialogueOf?: (connection: Connection, clock: FakeClock) => Dialogue
  /** Shared with other pairs. */
  clock?: FakeClock
  random?: number
  /** Bytes that each peer takes before it stalls; Infinity unless told. */
  clientTakes?: number
  upstreamTakes?: number
  limits?: (clock: FakeClock) => PairLimits
  early?: { fromClient?: string; fromUpstream?: string }
}

export function memoryPair(options: MemoryPairOptions = {}) {
  const clock = options.clock ?? fakeClock()
  const sweep = new Sweep(clock)
  const connection = new Connection(1, 'app', 'tcp', addressOf('192.0.2.1:1'), clock.now())
  const buffers = options.buffers ?? { highBytes: 65_536, lowBytes: 32_768, readBytes: 16_384 }
  const { readBytes } = buffers
  const client = new MemoryEndpoint('client', noOwner, { readBytes, takes: options.clientTakes ?? off })
  const upstream = new MemoryEndpoint('upstream', noOwner, { readBytes, takes: options.upstreamTakes ?? off })
  const closed: Connection[] = []
  const strain = calm()
  const deadlines: DeadlineOptions = {
    idleMs: off,
    clientIdleMs: off,
    upstreamIdleMs: off,
    writeMs: off,
    halfCloseMs: off,
    lifetimeMs: off,
    lifetimeJitter: 0,
    ...options.deadlines,
  }
  const pairOptions = {
    buffers,
    deadlines: fixed({ ...deadlines, closeMs: options.closeMs ?? 5000 }),
    tcpKeepAliveMs: options.tcpKeepAliveMs ?? off,
  }
  const context = {
    clock,
    sweep,
    random: () => options.random ?? 0,
    strain,
    onClosed: (connection: Connection) => void closed.push(connection),
    ...(options.limits === undefined ? {} : { limits: options.limits(clock) }),
  }
  const dialogue = options.dialogueOf?.(connection, clock) ?? options.dialogue ?? null
  const pair = new Pair(connection, { client, upstream }, { options: pairOptions, context, dialogue })
  pair.start(Buffer.from(options.early?.fromClient ?? ''), Buffer.from(options.early?.fromUpstream ?? ''))
  return {
    clock,
    sweep,
    strain,
    connection,
    client,
    upstream,
    pair,
    /** The connection, as often as its end was told. */
    closed,
    /** Lets what is due settle, and tells why the pair ended; null while it is open. */
    end: async (): Promise<Pick<Close, 'reason' | 'side' | 'phase'> | null> => {
      await clock.pass(0)
      if (connection.end === null) return null
      const { reason, side, phase } = connection.end
      return { reason, side, phase }
    },
  }
}

export type MemoryPair = ReturnType<typeof memoryPair>

/** A Dialogue that passes everything on and has nothing to say, but for what a test gives it. */
export function dialogue(parts: Partial<Dialogue> = {}): Dialogue {
  return {
    relay(half, bytes, length) {
      half.activity++
      half.forward(bytes, 0, length)
    },
    onSourceEnd: () => null,
    farewell: () => 'nothing',
    isAnswered: () => false,
    isOwing: () => false,
    sweep: () => null,
    ...parts,
  }
}
