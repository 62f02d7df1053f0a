// The stage: the legacy service with the gate before it, one listener for each policy, and the end of each
// connection from the gate's log.

import { systemClock } from '../core/clock.ts'
import { parseConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { Log } from '../log/log.ts'
import { Operator } from '../operator/operator.ts'
import { LegacyService } from './legacy-service.ts'
import { scrape } from './scrape.ts'
import type { Samples } from './scrape.ts'

/** In the order of the file. */
const listenerNames = ['web', 'lines', 'quiet', 'pages', 'narrow', 'gone'] as const
export type ListenerName = (typeof listenerNames)[number]

/** 0 leaves the choice to the system. */
export interface Ports {
  web: number
  lines: number
  health: number
  admin: number
}

/** How a connection ended, by the gate's log. */
export interface End {
  reason: string
  side: string
}

/** Deadlines so short that the show is over soon; the defaults are 2 to 3600 times as long. */
// oxlint-disable-next-line eslint/max-lines-per-function -- one file
function configText({ web, lines, health, admin }: Ports, service: LegacyService): string {
  return `
health: { address: "127.0.0.1:${health}" }
admin: { address: "127.0.0.1:${admin}" }
listeners:
  - name: web
    address: "127.0.0.1:${web}"
    protocol: http
    upstream: 127.0.0.1:${service.webPort}
    http: { h2c: on }
    deadlines: { handshake: 1s, response: 1s, write: 1s, close: 1s }
    websocket: { maxMessage: 64KiB, ping: { interval: 500ms, timeout: 500ms, misses: 1 } }
    limits: { messages: { rate: 10, burst: 50, onExceed: close } }
  - name: lines
    address: "127.0.0.1:${lines}"
    protocol: tcp
    upstream: 127.0.0.1:${service.linePort}
    deadlines: { write: 1s, halfClose: 1s, close: 1s }
  - name: quiet
    address: "127.0.0.1:0"
    protocol: http
    upstream: 127.0.0.1:${service.webPort}
    deadlines: { idle: 2s, close: 1s }
    websocket: { ping: { interval: 500ms, timeout: 500ms } }
  - name: pages
    address: "127.0.0.1:0"
    protocol: http
    upstream: 127.0.0.1:${service.webPort}
    http: { h2c: on }
    websocket: { origins: [https://app.example] }
  - name: narrow
    address: "127.0.0.1:0"
    protocol: http
    upstream: 127.0.0.1:${service.webPort}
    limits: { connections: 1 }
  - name: gone
    address: "127.0.0.1:0"
    protocol: http
    upstream: { addresses: ["127.0.0.1:1"], retryFor: off }
`
}

export class Stage {
  readonly service = new LegacyService()
  readonly #ends = new Map<string, PromiseWithResolvers<End>>()
  #gate: Operator | null = null
  /** How many connections ended with each reason, by the log. */
  readonly logged = new Map<string, number>()
  /** Gets each log line of the gate; by default it notes the ends. */
  onLogLine: (line: string) => void = (line) => this.#note(line)

  /** Rejects with a ConfigError where a port is taken. */
  async start(ports: Ports): Promise<void> {
    await this.service.start()
    const config: Config = parseConfig(configText(ports, this.service), 'demo.yaml')
    const writer = { dropped: 0, write: (line: string) => this.onLogLine(line) }
    this.#gate = await Operator.start(config, {
      log: new Log({ writer, clock: systemClock }),
      logWriter: writer,
    })
  }

  /** Drains, then ends the remaining connections. */
  async stop(drainMs: number): Promise<void> {
    await this.#gate?.drain('SIGINT', { timeoutMs: drainMs })
    await this.#gate?.stop()
    this.service.stop()
  }

  port(name: ListenerName): number {
    return this.#gate?.ports[listenerNames.indexOf(name)] ?? 0
  }

  get healthPort(): number {
    return this.#gate?.healthPort ?? 0
  }

  get adminPort(): number {
    return this.#gate?.adminPort ?? 0
  }

  /** The end of the connection of the client with that `address` (`addressOf`), once it has ended. */
  endOf(address: string): Promise<End> {
    return this.#end(address).promise
  }

  scrape(): Promise<Samples> {
    return scrape(this.healthPort)
  }

  #end(address: string): PromiseWithResolvers<End> {
    const known = this.#ends.get(address) ?? Promise.withResolvers<End>()
    this.#ends.set(address, known)
    return known
  }

  #note(line: string): void {
    const { msg, client, listener, close, side, session } = JSON.parse(line) as Record<string, string>
    if (msg !== 'connection closed' || client === undefined || close === undefined || side === undefined)
      return
    this.logged.set(close, (this.logged.get(close) ?? 0) + 1)
    // The end of a stream of HTTP/2 is not that of its connection.
    if (session !== undefined) return
    const address = `${client} to ${this.port(listener as ListenerName)}`
    this.#end(address).resolve({ reason: close, side })
  }
}
