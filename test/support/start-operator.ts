// An operator with one gate in this thread, whose registry a test may read. With MESSAGES=cloned every message between the two is a
// clone, as it is between threads, and every answer comes in another turn of the event loop. With WORKERS=2 there are two gates,
// each in a thread.

import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/core/clock.ts'
import type { Config } from '../../src/config/schema.ts'
import type { Registry } from '../../src/core/connection.ts'
import { Gate } from '../../src/gate/gate.ts'
import type { GateEvents, GatePort } from '../../src/gate/messages.ts'
import { Operator } from '../../src/operator/operator.ts'
import type { MakeGate } from '../../src/operator/make-gates.ts'
import type { OperatorParts } from '../../src/operator/operator.ts'
import { threadFile } from './threads.ts'

export interface StartedOperator {
  operator: Operator
  registry: Registry
}

// Each thread loads all of src, whose types Node strips: the compile cache keeps the result for the next thread.
process.env['NODE_COMPILE_CACHE'] ??= join(tmpdir(), 'sidegate-tests-compiled')

const workers = Number(process.env['WORKERS'] ?? 1)
const isCloned = process.env['MESSAGES'] === 'cloned'

export async function startOperator(config: Config, parts: OperatorParts): Promise<StartedOperator> {
  let registry: Registry | null = null
  const makeGate: MakeGate = (settings, gateParts) => {
    const events = isCloned ? clonedEvents(gateParts.events) : gateParts.events
    const gate = new Gate(isCloned ? structuredClone(settings) : settings, { ...gateParts, events })
    registry = gate.registry
    return {
      port: isCloned ? clonedPort(gate) : gate,
      get open() {
        return gate.registry.open
      },
    }
  }
  const operator = await Operator.start(config, {
    makeGate,
    workers,
    threadFile: threadFile('thread'),
    ...parts,
  })
  return { operator, registry: registry ?? registryElsewhere(operator) }
}

/** For gates in threads a test sees only the number of connections. */
function registryElsewhere(operator: Operator): Registry {
  return new Proxy({} as Registry, {
    get(_target, name) {
      if (name === 'size') return operator.open
      throw new Error(`${String(name)}: the connections are in other threads`)
    },
  })
}

const nextTurn = (): Promise<void> => new Promise((resolve) => systemClock.nextTurn(resolve))

/** Every question and answer is a copy; a value that cannot be cloned throws. */
export function clonedPort(gate: GatePort): GatePort {
  return new Proxy(gate, {
    get: (_gate, name: keyof GatePort) => async (question: unknown) => {
      const copy = structuredClone(question)
      await nextTurn()
      const answer = await (gate[name] as (question: unknown) => Promise<unknown>).call(gate, copy)
      return structuredClone(answer)
    },
  })
}

function clonedEvents(events: GateEvents): GateEvents {
  return {
    log: (line) => events.log(structuredClone(line)),
    found: (finding) => events.found(structuredClone(finding)),
    empty: () => void nextTurn().then(() => events.empty()),
  }
}
