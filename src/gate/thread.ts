// A gate in its own thread: the first file of a worker. Its pulse shows that its loop turns; an uncaught
// error ends the thread, after its connections, where that is still possible, as `internal_error`.

import { parentPort, workerData } from 'node:worker_threads'
import { systemClock } from '../core/clock.ts'
import { InvariantError } from '../core/errors.ts'
import { Pulse } from '../core/pulse.ts'
import { collectGarbage } from '../overload/heap.ts'
import { Channel } from './channel.ts'
import { Gate } from './gate.ts'
import { LogLine } from './log-line.ts'
import { gateQuestions } from './messages.ts'
import type { GatePort, GateSettings } from './messages.ts'

/** The data with which a thread starts. */
export interface ThreadData {
  settings: GateSettings
  pulse: SharedArrayBuffer
  /** Milliseconds between two lookups of one name. */
  refreshMs: number
}

const BEAT_MS = 500
/** Time for the last words to peers and to the log before the thread ends. */
const LAST_MS = 200
/** Time for reset connections to close. */
const GONE_MS = 500

const { settings, pulse: memory, refreshMs } = workerData as ThreadData
const clock = systemClock
const pulse = new Pulse(memory)
const channel = new Channel(parentPort!, answer)
const line = new LogLine({ clock, pulse, send: (lines) => channel.tell('log', lines) })
const gate = new Gate(settings, {
  clock,
  random: Math.random,
  names: { refreshMs, lookup: (name) => channel.ask('lookup', name) as Promise<readonly string[]> },
  events: {
    log: (text) => line.write(text),
    found: (finding) => channel.tell('found', finding),
    empty: () => channel.tell('empty', null),
  },
  pulse,
})

const known = new Set<string>(gateQuestions)
let hasBegun = false

function answer(name: string, question: unknown): unknown {
  if (name === 'stop') return stop()
  if (name === 'commit') begin()
  if (!known.has(name)) throw new InvariantError(`nobody knows how to answer ${name}`)
  return (gate[name as keyof GatePort] as (question: unknown) => unknown).call(gate, question)
}

function begin(): void {
  if (hasBegun) return
  hasBegun = true
  // The first beat comes at once: a thread that hangs from here on is not mistaken for one that is still
  // loading.
  pulse.beat()
  // Start-up leaves 4 MB of garbage, collected here where the flags of the process allow it.
  if (globalThis.gc !== undefined) clock.nextTurn(collectGarbage)
}

/** Resolves when the last line is sent. */
async function stop(): Promise<void> {
  await gate.stop()
  const until = clock.now() + GONE_MS
  while (gate.registry.size > 0 && clock.now() < until) await pause(5)
  line.flush()
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void clock.after(ms, resolve))
}

process.on('uncaughtException', (error) => {
  channel.tell('failed', error.stack ?? String(error))
  void gate.close({ which: 'all', reason: 'internal_error' })
  void pause(LAST_MS).then(() => {
    line.flush()
    process.exit(1)
  })
})

clock.every(BEAT_MS, () => pulse.beat())
