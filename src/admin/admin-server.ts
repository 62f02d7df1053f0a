// What an operator asks a running Sidegate, and the few things that can be done to it. Routes are rows of a table; GET only
// reads, what changes something is POST or DELETE. Whoever gets past the guard may do all of it, so there is always one:
// on loopback what browsers send for foreign pages is refused, anywhere else a token is needed.

import { isLoopbackHost } from '../core/address.ts'
import type { Clock } from '../core/clock.ts'
import { InvariantError } from '../core/errors.ts'
import type { Registry } from '../core/connection.ts'
import { connectionRoutes } from './connection-routes.ts'
import { debugRoutes } from './debug-routes.ts'
import { LogLevelSwitch } from './log-level.ts'
import type { Leveled } from './log-level.ts'
import type { LogLevel } from '../log/line.ts'
import { logRoutes } from './log-routes.ts'
import { guardAgainstBrowsers } from './loopback-guard.ts'
import type { DrainState } from '../lifecycle/drain.ts'
import type { ReloadResult } from '../lifecycle/reload.ts'
import { jsonAnswer, OpsServer, type Answer, type OpsAddress, type Route } from '../ops/ops-server.ts'
import { snapshotRoom } from './profiler.ts'
import type { SnapshotRoom } from './profiler.ts'
import { Rates } from './rates.ts'
import { TokenGuard } from './token-guard.ts'
import type { TokenObserver } from './token-guard.ts'
import type { DrainView, Info } from './types.ts'

/** A listener, as far as an operator wants to know. */
export interface ListenerView {
  name: string
  /** As in the configuration, and where that says port 0, as bound. */
  address: string
  protocol: 'tcp' | 'http'
  upstream: string
}

/** What an operator may do to the gate as a whole. */
export interface Lifecycle {
  readonly drainState: DrainState
  drain(trigger: 'admin'): Promise<unknown>
  undrain(): boolean
  reload(trigger: 'admin'): Promise<ReloadResult>
}

export interface AdminServerOptions {
  clock: Clock
  registry: Registry
  version: string
  revision: string
  listeners: () => readonly ListenerView[]
  /** Absent: it only reads. */
  lifecycle?: Lifecycle
  /** For each listener, as `Upstream.view` tells it. */
  upstreams?: () => readonly object[]
  /** How the process is doing: `starting`, `running`, `draining`. */
  state: () => string
  /** The configuration in force, every default filled in, to be shown. */
  config: () => Promise<unknown>
  /** Why the last reload was refused; null if it was not. */
  configError: () => unknown
  log: Leveled
  /** As the configuration file has them: `5m`. */
  parseDuration: (text: string) => { value: number } | { problem: string }
  /** Holds the token that is asked for; null asks for none. */
  tokenFile: string | null
  onError?: (error: unknown) => void
  tokens?: TokenObserver
  snapshotRoom?: () => Promise<SnapshotRoom>
}

const silent: TokenObserver = { onProblem() {}, onFailed() {} }

export class AdminServer {
  readonly #server: OpsServer
  readonly #rates: Rates
  readonly #logLevel: LogLevelSwitch
  readonly #token: TokenGuard | null

  constructor(options: AdminServerOptions) {
    const { clock, registry, log, tokenFile, onError, tokens = silent } = options
    this.#rates = new Rates(clock, registry)
    this.#logLevel = new LogLevelSwitch(log, clock)
    this.#token = tokenFile === null ? null : new TokenGuard(tokenFile, clock, tokens)
    const token = this.#token
    this.#server = new OpsServer({
      clock,
      routes: adminRoutes(options, this.#rates, this.#logLevel),
      guard: token === null ? guardAgainstBrowsers : (request) => token.guard(request),
      ...(onError === undefined ? {} : { onError }),
    })
  }

  /** Resolves with the port that was bound. Rejects an address that others could reach without a token: `config` refuses it first. */
  async start(address: OpsAddress): Promise<number> {
    if (this.#token === null && !('path' in address) && !isLoopbackHost(address.host ?? '')) {
      throw new InvariantError('admin address is not a loopback address, and no token is asked for')
    }
    return this.#server.start(address)
  }

  /** A reload says so: what an operator set lives on until the file says something else. */
  configureLogLevel(level: LogLevel): void {
    this.#logLevel.configure(level)
  }

  /** Why the token file cannot be used; null where it can, or none is asked for. */
  tokenProblem(): Promise<string | null> {
    return this.#token === null ? Promise.resolve(null) : this.#token.load()
  }

  async stop(): Promise<void> {
    this.#rates.forget()
    this.#logLevel.goBack()
    await this.#server.stop()
    // A question that was under way may have begun anew.
    this.#rates.forget()
  }
}

function adminRoutes(options: AdminServerOptions, rates: Rates, logLevel: LogLevelSwitch): Route[] {
  const { clock, registry } = options
  const startedAt = clock.now()
  const routes: Route[] = [
    { method: 'GET', path: '/', summary: 'this help', handle: () => help(routes) },
    { method: 'GET', path: '/info', summary: 'version, process, state and counts', handle: () => info(options, clock.now() - startedAt) },
    ...connectionRoutes(clock, registry, rates),
    { method: 'GET', path: '/listeners', summary: 'listeners and their connections', handle: () => listeners(options) },
    ...(options.lifecycle === undefined ? [] : lifecycleRoutes(options.lifecycle)),
    { method: 'GET', path: '/upstreams', summary: 'upstream addresses: state, open connections, last check', handle: () => jsonAnswer(options.upstreams?.() ?? []) },
    { method: 'GET', path: '/config', summary: 'the configuration in force, with its defaults', handle: async () => jsonAnswer(await options.config()) },
    { method: 'GET', path: '/config/error', summary: 'why the last reload was refused', handle: () => jsonAnswer({ error: options.configError() }) },
    ...logRoutes(logLevel, options.parseDuration),
    ...debugRoutes(clock, options.snapshotRoom ?? snapshotRoom),
  ]
  return routes
}

function lifecycleRoutes(lifecycle: Lifecycle): Route[] {
  return [
    { method: 'POST', path: '/drain', summary: 'ask all connections to go, over a while; ?undo=1 while the listeners are open', handle: ({ query }) => drain(lifecycle, query) },
    { method: 'POST', path: '/reload', summary: 'read the configuration file again and apply it', handle: async () => reloaded(await lifecycle.reload('admin')) },
  ]
}

/** Answers at once; `GET /drain/wait` of the health server waits. */
function drain(lifecycle: Lifecycle, query: URLSearchParams): Answer {
  const isUndo = query.get('undo') === '1'
  if ([...query.keys()].some((key) => key !== 'undo') || (query.has('undo') && !isUndo)) return jsonAnswer({ error: 'the only parameter is undo=1' }, 400)
  if (!isUndo) void lifecycle.drain('admin')
  else if (!lifecycle.undrain()) return jsonAnswer({ error: 'there is no drain that can be undone', drain: lifecycle.drainState }, 409)
  const view: DrainView = { drain: lifecycle.drainState }
  return jsonAnswer(view)
}

function reloaded(result: ReloadResult): Answer {
  return jsonAnswer(result, { success: 200, failure: 422, refused: 409 }[result.result])
}

function help(routes: readonly Route[]): Answer {
  const width = Math.max(...routes.map(({ path }) => path.length))
  const lines = routes.map(({ method, path, summary }) => `${method.padEnd(6)} ${path.padEnd(width)}  ${summary}\n`)
  return { status: 200, body: `Sidegate admin\n\n${lines.join('')}` }
}

function info(options: AdminServerOptions, uptimeMs: number): Answer {
  const { version, revision, registry, clock, state, lifecycle } = options
  const view: Info = {
    version,
    revision,
    node: process.version,
    pid: process.pid,
    state: state(),
    drain: lifecycle?.drainState ?? 'none',
    startedAt: new Date(clock.wall() - uptimeMs).toISOString(),
    uptimeMs: Math.round(uptimeMs),
    connections: registry.size,
    phases: countBy(registry, 'phase'),
    protocols: countBy(registry, 'protocol'),
  }
  return jsonAnswer(view)
}

function countBy(registry: Registry, key: 'phase' | 'protocol' | 'listener'): Record<string, number> {
  const counts = new Map<string, number>()
  for (const connection of registry) counts.set(connection[key], (counts.get(connection[key]) ?? 0) + 1)
  return Object.fromEntries(counts)
}

function listeners(options: AdminServerOptions): Answer {
  const counts = countBy(options.registry, 'listener')
  return jsonAnswer(options.listeners().map((listener) => ({ ...listener, connections: counts[listener.name] ?? 0 })))
}
