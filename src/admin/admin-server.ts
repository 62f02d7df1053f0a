// The admin server: an operator's questions to a running Sidegate, and the few orders that it takes. Routes
// are rows of a table; GET only reads, changes are POST or DELETE. A request that passes the guard may do
// everything, so there always is a guard: on loopback it refuses requests that browsers send for foreign
// pages, anywhere else it requires a token.

import { isLoopbackHost } from '../core/address.ts'
import type { Clock } from '../core/clock.ts'
import { InvariantError } from '../core/errors.ts'
import { connectionRoutes } from './connection-routes.ts'
import type { Directory } from './connection-routes.ts'
import { debugRoutes } from './debug-routes.ts'
import { LogLevelSwitch } from './log-level.ts'
import type { Leveled } from './log-level.ts'
import type { LogLevel } from '../log/line.ts'
import { logRoutes } from './log-routes.ts'
import { guardAgainstBrowsers, PageToken } from './browser-guard.ts'
import { PageFiles, wantsPage } from './page-files.ts'
import { seriesRoute } from './series-route.ts'
import type { DrainState } from '../lifecycle/drain.ts'
import type { ReloadResult } from '../lifecycle/reload.ts'
import { jsonAnswer } from '../ops/answer.ts'
import type { Answer } from '../ops/answer.ts'
import { OpsServer, type OpsAddress, type Route } from '../ops/ops-server.ts'
import { snapshotRoom } from './profiler.ts'
import type { SnapshotRoom } from './profiler.ts'
import { adviceRoutes } from './advice-route.ts'
import type { AdviceSource } from './advice-route.ts'
import { refuseParameters } from './parameters.ts'
import { recentRoute } from './recent-route.ts'
import type { RecentQuery } from './recent-route.ts'
import { TokenGuard } from './token-guard.ts'
import type { TokenObserver } from './token-guard.ts'
import { noWorkers, tellingSilent, viewWorkers } from './workers.ts'
import type { Workers } from './workers.ts'
import type { HistoryView } from '../metrics/history.ts'
import type { ConfigState } from '../metrics/metrics.ts'
import type {
  DrainView,
  Info,
  ListenerRow,
  ListenerView,
  MemoryView,
  PageTokenView,
  RecentEnd,
  SharedView,
} from './types.ts'

/** The orders of an operator to the whole gate. */
export interface Lifecycle {
  readonly drainState: DrainState
  drain(trigger: 'admin'): Promise<unknown>
  undrain(): boolean
  reload(trigger: 'admin'): Promise<ReloadResult>
}

export interface AdminServerOptions {
  clock: Clock
  connections: Directory
  version: string
  revision: string
  listeners: () => readonly ListenerView[]
  /** Absent: the server only reads. */
  lifecycle?: Lifecycle
  /** For each listener, as in `Upstream.view`. */
  upstreams?: () => Promise<readonly object[]>
  /** The state of the process: `starting`, `running`, `draining`. */
  state: () => string
  /** The view of the configuration in force, every default filled in. */
  config: () => Promise<unknown>
  /** Which configuration is in effect, since when, and which reload failed since. */
  configState?: () => Omit<ConfigState, 'fault'> & { readonly fault: { readonly at: number } | null }
  /** The origin of each value that is not a default, by its path; null where it is unknown. */
  configOrigins?: () => Promise<Readonly<Record<string, string>> | null>
  memory?: () => MemoryView
  /** Limits that are shared with other gates; null where none are. */
  shared?: () => Promise<SharedView | null>
  /** The last quarter of an hour, after that step. */
  history?: (after: number) => HistoryView
  /** Reads the habits of each listener's connections; and forgets them. */
  habits?: Pick<AdviceSource, 'habits' | 'forgetHabits'>
  /** The connections that have just ended, the newest first. */
  recent?: (query: RecentQuery) => Promise<readonly RecentEnd[]>
  /** Why the last reload was refused; null if it was not. */
  configError: () => unknown
  log: Leveled
  /** Parses durations like those of the configuration file: `5m`. */
  parseDuration: (text: string) => { value: number } | { problem: string }
  /** The file with the required token; null requires none. */
  tokenFile: string | null
  onError?: (error: unknown) => void
  tokens?: TokenObserver
  snapshotRoom?: () => SnapshotRoom
  /** Absent: there are none. */
  workers?: Workers
}

const silent: TokenObserver = { onProblem() {}, onFailed() {} }

export class AdminServer {
  readonly #server: OpsServer
  readonly #logLevel: LogLevelSwitch
  readonly #token: TokenGuard | null

  constructor(options: AdminServerOptions) {
    const { clock, log, tokenFile, onError, tokens = silent } = options
    this.#logLevel = new LogLevelSwitch(log, clock)
    this.#token = tokenFile === null ? null : new TokenGuard(tokenFile, clock, tokens)
    const token = this.#token
    const pageToken = new PageToken()
    this.#server = new OpsServer({
      clock,
      routes: adminRoutes(options, { logLevel: this.#logLevel, pageToken }),
      guard: (request) =>
        token === null ? guardAgainstBrowsers(request, pageToken) : token.guard(request, pageToken),
      ...(onError === undefined ? {} : { onError }),
    })
  }

  /**
   * Resolves with the bound port. Rejects an address that others could reach without a token: `config`
   * refuses it first.
   */
  async start(address: OpsAddress): Promise<number> {
    if (this.#token === null && !('path' in address) && !isLoopbackHost(address.host ?? '')) {
      throw new InvariantError('admin address is not a loopback address, and no token is asked for')
    }
    return this.#server.start(address)
  }

  /** Called by a reload: an operator's level stays until the file's level changes. */
  configureLogLevel(level: LogLevel): void {
    this.#logLevel.configure(level)
  }

  /** Why the token file cannot be used; null where it can, or no token is required. */
  tokenProblem(): Promise<string | null> {
    return this.#token === null ? Promise.resolve(null) : this.#token.load()
  }

  async stop(): Promise<void> {
    this.#logLevel.goBack()
    await this.#server.stop()
  }
}

interface Parts {
  logLevel: LogLevelSwitch
  pageToken: PageToken
}

function adminRoutes(options: AdminServerOptions, { logLevel, pageToken }: Parts): Route[] {
  const { clock, connections, workers = noWorkers } = options
  const startedAt = clock.now()
  const routes: Route[] = [
    ...pageRoutes(() => help(routes), pageToken),
    {
      method: 'GET',
      path: '/info',
      summary: 'version, process, state and counts',
      handle: () => info(options, clock.now() - startedAt),
    },
    ...connectionRoutes({ clock, directory: connections, listeners: options.listeners }),
    recentRoute({ recent: options.recent ?? (async () => []), listeners: options.listeners }),
    ...(options.habits === undefined
      ? []
      : adviceRoutes({ ...options.habits, config: options.config, clock })),
    {
      method: 'GET',
      path: '/listeners',
      summary: 'listeners and their connections',
      handle: () => listeners(options),
    },
    ...(options.lifecycle === undefined ? [] : lifecycleRoutes(options.lifecycle)),
    {
      method: 'GET',
      path: '/upstreams',
      summary: 'upstream addresses: state, open connections, last check',
      handle: async () => jsonAnswer((await options.upstreams?.()) ?? []),
    },
    {
      method: 'GET',
      path: '/config',
      summary: 'the configuration in force, with its defaults',
      handle: async () => jsonAnswer(await options.config()),
    },
    {
      method: 'GET',
      path: '/config/origins',
      summary: 'which values of it the file gives, or the environment; all others are defaults',
      handle: async () => jsonAnswer({ origins: (await options.configOrigins?.()) ?? null }),
    },
    {
      method: 'GET',
      path: '/config/error',
      summary: 'why the last reload was refused',
      handle: () => jsonAnswer({ error: options.configError() }),
    },
    seriesRoute(options.history),
    ...logRoutes(logLevel, options.parseDuration),
    ...debugRoutes(clock, options.snapshotRoom ?? snapshotRoom, workers),
  ]
  return routes.map((route) => tellingSilent(refuseParameters(route), workers))
}

/** Browsers get the page, other clients the list of routes. */
function pageRoutes(ownHelp: () => Answer, pageToken: PageToken): Route[] {
  const files = new PageFiles()
  return [
    {
      method: 'GET',
      path: '/',
      summary: 'this help; the page for browsers',
      handle: async ({ headers }) =>
        (wantsPage(headers) ? await files.answer('/', headers) : null) ?? ownHelp(),
    },
    ...files.routes(),
    {
      method: 'GET',
      path: '/page-token',
      summary: 'what that page sends as X-Sidegate-Page with what changes something',
      handle: () => jsonAnswer({ token: pageToken.value } satisfies PageTokenView),
    },
  ]
}

function lifecycleRoutes(lifecycle: Lifecycle): Route[] {
  return [
    {
      method: 'POST',
      path: '/drain',
      summary: 'ask all connections to go, over a while; ?undo=1 while the listeners are open',
      handle: ({ query }) => drain(lifecycle, query),
    },
    {
      method: 'POST',
      path: '/reload',
      summary: 'read the configuration file again and apply it',
      handle: async () => reloaded(await lifecycle.reload('admin')),
    },
  ]
}

/** Answers at once; `GET /drain/wait` of the health server waits. */
function drain(lifecycle: Lifecycle, query: URLSearchParams): Answer {
  const isUndo = query.get('undo') === '1'
  if ([...query.keys()].some((key) => key !== 'undo') || (query.has('undo') && !isUndo))
    return jsonAnswer({ error: 'the only parameter is undo=1' }, 400)
  if (!isUndo) void lifecycle.drain('admin')
  else if (!lifecycle.undrain())
    return jsonAnswer({ error: 'there is no drain that can be undone', drain: lifecycle.drainState }, 409)
  const view: DrainView = { drain: lifecycle.drainState }
  return jsonAnswer(view)
}

function reloaded(result: ReloadResult): Answer {
  return jsonAnswer(result, { success: 200, failure: 422, refused: 409 }[result.result])
}

function help(routes: readonly Route[]): Answer {
  const width = Math.max(...routes.map(({ path }) => path.length))
  const lines = routes.map(
    ({ method, path, summary }) => `${method.padEnd(6)} ${path.padEnd(width)}  ${summary}\n`,
  )
  return { status: 200, body: `Sidegate admin\n\n${lines.join('')}` }
}

async function info(options: AdminServerOptions, uptimeMs: number): Promise<Answer> {
  const { version, revision, clock, state, lifecycle } = options
  const { connections, phases, protocols } = await options.connections.counts()
  const view: Info = {
    version,
    revision,
    node: process.version,
    pid: process.pid,
    state: state(),
    drain: lifecycle?.drainState ?? 'none',
    startedAt: new Date(clock.wall() - uptimeMs).toISOString(),
    uptimeMs: Math.round(uptimeMs),
    connections,
    phases,
    protocols,
    config: viewConfigState(options.configState?.()),
    memory: options.memory?.() ?? null,
    shared: (await options.shared?.()) ?? null,
    workers: viewWorkers(options.workers ?? noWorkers),
  }
  return jsonAnswer(view)
}

function viewConfigState(
  state: ReturnType<NonNullable<AdminServerOptions['configState']>> | undefined,
): Info['config'] {
  if (state === undefined) return null
  const { hash, succeededAt, fault, restartRequired } = state
  return {
    hash,
    appliedAt: new Date(succeededAt).toISOString(),
    failedAt: fault === null ? null : new Date(fault.at).toISOString(),
    restartRequired,
  }
}

async function listeners(options: AdminServerOptions): Promise<Answer> {
  const { listeners: counts } = await options.connections.counts()
  return jsonAnswer(
    options.listeners().map((listener): ListenerRow => ({
      ...listener,
      connections: counts[listener.name] ?? 0,
    })),
  )
}
