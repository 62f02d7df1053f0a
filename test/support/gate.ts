// A real gate in this process, on ports that the system chooses, with its log lines and a check that it leaves nothing
// behind.

import type { Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Close } from '../../src/core/close.ts'
import { checkText } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import type { Connection, Registry } from '../../src/core/connection.ts'
import { ConfigError, ofFiles } from '../../src/core/errors.ts'
import type { DrainResult } from '../../src/lifecycle/drain.ts'
import type { ConfigSource, Content, ReloadResult } from '../../src/lifecycle/reload.ts'
import { Log } from '../../src/log/log.ts'
import type { Operator, OperatorParts } from '../../src/operator/operator.ts'
import { eventually } from './eventually.ts'
import { startOperator } from './start-operator.ts'

export interface Gate {
  operator: Operator
  /** Of all open connections. */
  registry: Registry
  /** Of the first listener. */
  port: number
  ports: number[]
  healthPort: number
  adminPort: number
  /** The end-of-connection lines so far, as objects. */
  lines: Array<Record<string, unknown>>
  /** Resolves with the nth end of a connection, from 0. */
  end(
    nth?: number,
  ): Promise<Pick<Close, 'reason' | 'side' | 'phase'> & { detail?: string; line: Record<string, unknown> }>
  /** The only open connection that is a conversation: a stream of HTTP/2, not its connection. */
  open(): Connection
  metrics(): Promise<string>
  /** A drain without delay or spread; after `timeoutMs` the gate resets the remaining connections. */
  drain(timeoutMs: number): Promise<DrainResult>
  /** Reloads to other listeners, given as at the start; the same address, port 0, keeps its socket. */
  reload(listeners: string[], top?: string): Promise<ReloadResult>
  /** Writes the configuration file, for the next reload to read. */
  hold(listeners: string[], top?: string): void
  /** Reloads to this text, valid or not. */
  reloadText(text: string): Promise<ReloadResult>
}

/** The configuration file of a gate in a test, with a log of every end. */
export function yamlOf(listeners: string[], top = ''): string {
  const log = 'log: { probes: true }'
  const head = /^log:/m.test(top) ? top : top === '' ? log : `${log}\n${top}`
  const admin = /^admin:/m.test(top) ? '' : 'admin: { address: "127.0.0.1:0" }\n'
  return `${head}\nhealth: { address: "127.0.0.1:0" }\n${admin}listeners:\n${listeners
    .map((listener, index) => `  - { name: l${index}, ${addressIn(listener)}${listener} }\n`)
    .join('')}`
}

/** A free port, unless the listener has a socket of its own. */
const addressIn = (listener: string): string =>
  listener.startsWith('address: ') ? '' : 'address: "127.0.0.1:0", '

/** A configuration file in memory, which the test writes. */
class HeldSource implements ConfigSource<Config> {
  readonly file = 'test.yaml'
  text = ''

  read(): Promise<Buffer> {
    return Promise.resolve(Buffer.from(this.text))
  }

  load(content: Content) {
    const text = String(content)
    const hash = String(text.length)
    try {
      return Promise.resolve({ hash, outcome: checkText(text, this.file), isUndecided: false })
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return Promise.resolve({ hash, outcome: error, isUndecided: false })
    }
  }
}

/** Listeners as in the YAML file, less their addresses; `rest` is YAML for the top level. */
export async function startGate(
  t: Test,
  listeners: string[],
  { onLine, ...parts }: Partial<OperatorParts> & { onLine?: (line: Record<string, unknown>) => void } = {},
  rest = '',
): Promise<Gate> {
  const source = new HeldSource()
  const { config, places } = checkText(yamlOf(listeners, rest), source.file)
  const lines: Array<Record<string, unknown>> = []
  const writer = {
    dropped: 0,
    write(line: string) {
      if (!line.startsWith('{')) return // `log.format: text`
      const fields = JSON.parse(line) as Record<string, unknown>
      onLine?.(fields)
      if (fields['msg'] === 'connection closed') lines.push(fields)
    },
  }
  const log = new Log({ writer, clock: systemClock })
  const { operator, registry } = await startOperator(config, {
    log,
    logWriter: writer,
    source: { source, content: null, hash: 'start', written: ofFiles({ file: source.file, places }) },
    ...parts,
  })
  t.teardown(async () => {
    await operator.stop()
    await eventually(() => registry.size === 0, { what: 'an empty registry' })
  })
  const ports = operator.ports.map((port) => port ?? 0)
  const reloadText = (text: string): Promise<ReloadResult> => {
    source.text = text
    return operator.reload()
  }
  return {
    operator,
    registry,
    port: ports[0] ?? 0,
    ports,
    healthPort: operator.healthPort,
    adminPort: operator.adminPort,
    lines,
    async end(nth = 0) {
      const line = await eventually(() => lines[nth], {
        what: `end ${nth} of a connection`,
        withinMs: 30_000,
      })
      return {
        reason: line['close'],
        side: line['side'],
        phase: line['phase'],
        detail: line['detail'],
        line,
      } as Awaited<ReturnType<Gate['end']>>
    },
    open() {
      const connection = [...registry].find(({ protocol }) => protocol !== 'h2')
      if (connection === undefined) throw new Error('no open connection')
      return connection
    },
    reload: (next, top) => reloadText(yamlOf(next, top)),
    hold(next, top) {
      source.text = yamlOf(next, top)
    },
    reloadText,
    drain: (timeoutMs) => operator.drain('SIGINT', { timeoutMs }),
    metrics: async () => (await operator.renderMetrics()).body,
  }
}
