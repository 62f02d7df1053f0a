// `sidegate drain`: asks a running gate to let its connections go, or to stay after all.

import { systemClock } from '../clock.ts'
import { adminOptions, askJson, findGate } from './admin-client.ts'
import type { Gate } from './admin-client.ts'
import { OK, parse, printJson, printLine, RefusedError, UsageError } from './usage.ts'

interface Drain {
  state: string
}

const LOOK_MS = 500

export async function drain(args: string[]): Promise<number> {
  const options = { undo: { type: 'boolean', default: false }, wait: { type: 'boolean', default: false }, json: { type: 'boolean', default: false } } as const
  const { values } = parse({ args, options: { ...adminOptions, ...options } })
  if (values.undo && values.wait) throw new UsageError('drain --undo has nothing to wait for')
  const gate = await findGate(values)
  const { state } = await askJson<Drain>(gate, values.undo ? '/drain?undo=1' : '/drain', { method: 'POST' })
  if (!values.json) printLine(values.undo ? `not draining any more (${state})` : state)
  if (!values.wait) return values.json ? printJson({ state }) : OK
  const left = await empty(gate)
  if (values.json) return printJson({ state: left })
  printLine(left)
  return OK
}

/** Resolves once no connection is left, or the gate itself is gone: it may have been told to end meanwhile. */
async function empty(gate: Gate): Promise<string> {
  for (;;) {
    const info = await askJson<{ state: string; connections: number }>(gate, '/info').catch((error: unknown) => {
      if (error instanceof RefusedError) return null
      throw error
    })
    if (info === null) return 'the gate has ended'
    if (info.state === 'running') throw new RefusedError('the drain was undone')
    if (info.connections === 0) return info.state
    await new Promise<void>((resolve) => systemClock.after(LOOK_MS, resolve))
  }
}
