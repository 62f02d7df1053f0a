// Makes the gates: one in the thread of the operator, or several with a thread each.

import { systemClock } from '../core/clock.ts'
import type { Clock } from '../core/clock.ts'
import type { GateEvents, GateSettings } from '../gate/messages.ts'
import type { Log } from '../log/log.ts'
import type { LogWriter } from '../log/log-writer.ts'
import { systemNames } from '../upstream/names.ts'
import type { NameOptions } from '../upstream/names.ts'
import { Crew } from './crew.ts'
import type { Gates, OpenGate } from './gates.ts'
import { heapMbOf } from './workers.ts'

/** The parts of the process that gates use. */
export interface ThreadParts {
  log: Log
  logWriter: Pick<LogWriter, 'dropped' | 'write'> & Partial<Pick<LogWriter, 'lose'>>
  clock?: Clock
  random?: () => number
  /** How names of upstreams are resolved. */
  names?: NameOptions
  /** Worker threads end too fast for replacing to help: the process should end. */
  onBroken?: () => void
  /** The first file of a thread; for tests of its faults. */
  threadFile?: URL
  /** V8's limit for the heap of a worker, in MB; by default a share of the container's limit. */
  heapMb?: number
  /** Makes the only gate, with its port; by default in this thread. */
  makeGate?: MakeGate
}

export type MakeGate = (
  settings: GateSettings,
  parts: { clock: Clock; random: () => number; names: NameOptions; events: GateEvents },
) => OpenGate

export interface MakeGatesParts extends ThreadParts {
  /** The settings of a gate that starts now, except its number. */
  settings: () => Omit<GateSettings, 'worker'>
  /** Whether a gate that ended is replaced. */
  isWanted: () => boolean
  onEmpty: () => void
}

/** Makes the only gate. It loads all of the path, 4 MB that the main thread saves where workers relay. */
export async function gateMaker(workers: number): Promise<{ makeGate?: MakeGate }> {
  return workers === 1 ? { makeGate: (await import('./local-gate.ts')).localGate } : {}
}

/** Null where there is one gate, which needs no supervision. */
export function makeGates(gates: Gates, parts: MakeGatesParts): Crew | null {
  const { log, logWriter, clock = systemClock, random = Math.random, names = systemNames } = parts
  const { makeGate, settings, isWanted, onEmpty, onBroken = () => {} } = parts
  const { workers } = settings()
  if (workers === 1 && makeGate !== undefined) {
    const events: GateEvents = { log: (line) => logWriter.write(line), found() {}, empty: onEmpty }
    gates.add(0, makeGate({ ...settings(), worker: 0 }, { clock, random, names, events }))
    return null
  }
  const { threadFile, heapMb = heapMbOf(workers) } = parts
  return new Crew({
    clock,
    log,
    logWriter,
    names,
    gates,
    heapMb,
    settings,
    isWanted,
    onEmpty,
    onBroken,
    ...(threadFile === undefined ? {} : { threadFile }),
  })
}
