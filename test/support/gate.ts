// A real gate in this process, on ports of the system's choice, with the log lines it wrote and a check that nothing is
// left of it.

import type { Test } from 'tap'
import { systemClock } from '../../src/clock.ts'
import type { Close } from '../../src/close.ts'
import { parseConfig } from '../../src/config/load.ts'
import type { Connection } from '../../src/connection.ts'
import { Log } from '../../src/log/log.ts'
import { Sidegate } from '../../src/sidegate.ts'
import type { SidegateParts } from '../../src/sidegate.ts'
import { eventually } from './eventually.ts'

export interface Gate {
  sidegate: Sidegate
  /** Of the first listener. */
  port: number
  ports: number[]
  healthPort: number
  adminPort: number
  /** The end-of-connection lines so far, as objects. */
  lines: Array<Record<string, unknown>>
  /** The nth end of a connection, from 0, once it is there. */
  end(nth?: number): Promise<Pick<Close, 'reason' | 'side' | 'phase'> & { detail?: string; line: Record<string, unknown> }>
  /** The only open connection. */
  open(): Connection
  metrics(): Promise<string>
}

/** Listeners as in the YAML file, less their addresses; `rest` is YAML for the top level. */
export async function startGate(t: Test, listeners: string[], parts: Partial<SidegateParts> = {}, rest = ''): Promise<Gate> {
  const yaml = `${rest}\nhealth: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n${listeners
    .map((listener, index) => `  - { name: l${index}, address: "127.0.0.1:0", ${listener} }\n`)
    .join('')}`
  const config = parseConfig(yaml, 'test.yaml')
  const lines: Array<Record<string, unknown>> = []
  const writer = {
    dropped: 0,
    write(line: string) {
      const fields = JSON.parse(line) as Record<string, unknown>
      if (fields['msg'] === 'connection closed') lines.push(fields)
    },
  }
  const log = new Log({ writer, clock: systemClock })
  const sidegate = await Sidegate.start(config, { log, logWriter: writer, ...parts })
  t.teardown(async () => {
    await sidegate.stop()
    await eventually(() => sidegate.registry.size === 0, { what: 'an empty registry' })
  })
  const ports = sidegate.ports.map((port) => port ?? 0)
  return {
    sidegate,
    port: ports[0] ?? 0,
    ports,
    healthPort: sidegate.healthPort,
    adminPort: sidegate.adminPort,
    lines,
    async end(nth = 0) {
      const line = await eventually(() => lines[nth], { what: `end ${nth} of a connection`, withinMs: 10_000 })
      return { reason: line['close'], side: line['side'], phase: line['phase'], detail: line['detail'], line } as Awaited<ReturnType<Gate['end']>>
    },
    open() {
      const [connection] = sidegate.registry
      if (connection === undefined) throw new Error('no open connection')
      return connection
    },
    metrics: async () => (await sidegate.metrics.render()).body,
  }
}
