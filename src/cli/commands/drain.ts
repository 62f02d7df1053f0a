// `sidegate drain`: makes a running gate let its connections go, or takes that back.

import type { DrainView, Info } from '../../admin/types.ts'
import { systemClock } from '../../core/clock.ts'
import type { DrainState } from '../../lifecycle/drain.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { OK } from '../../core/exit-codes.ts'
import { MissingError, parse, printJson, printLine, RefusedError, UsageError } from './usage.ts'

const words: Readonly<Record<DrainState, string>> = {
  none: 'not draining any more',
  announced: 'draining: not ready, and still accepting until drain.minDuration is over',
  parting: 'draining: connections are asked to go',
  finished: 'drained',
}

const LOOK_MS = 500

export async function drain(args: string[]): Promise<number> {
  const options = {
    undo: { type: 'boolean', default: false },
    wait: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  } as const
  const { values } = parse({ args, options: { ...adminOptions, ...options } })
  if (values.undo && values.wait) throw new UsageError('drain --undo has nothing to wait for')
  const gate = await findGate(values)
  const answer = await askJson<DrainView>(gate, values.undo ? '/drain?undo=1' : '/drain', { method: 'POST' })
  if (!values.json) printLine(words[answer.drain])
  if (!values.wait) return values.json ? printJson(answer) : OK
  const isThere = await empty(gate)
  if (values.json) return printJson({ drain: 'finished', isThere })
  if (answer.drain !== 'finished') printLine(isThere ? words.finished : 'the gate has ended')
  return OK
}

/**
 * Resolves once no connection is left; false if the gate itself is gone: it may have ended meanwhile. One
 * that does not answer, or refuses, is still there, with its connections: an end of the process cuts one
 * answer off at the most.
 */
async function empty(gate: Gate): Promise<boolean> {
  let failures = 0
  for (;;) {
    const info = await askJson<Info>(gate, '/info').catch((error: unknown) => {
      if (error instanceof RefusedError && (error instanceof MissingError || ++failures < 2)) return error
      throw error
    })
    if (info instanceof MissingError) return false
    if (!(info instanceof RefusedError)) {
      failures = 0
      if (info.drain === 'none') throw new RefusedError('the drain was undone')
      if (info.drain === 'finished') return true
    }
    await new Promise<void>((resolve) => systemClock.after(LOOK_MS, resolve))
  }
}
