// What an operator asks a running Sidegate, on loopback. Routes are rows of a table; only POST changes anything. Whoever
// can reach the port may ask, so it binds loopback addresses only and refuses what browsers send for foreign pages.

import type { Clock } from '../clock.ts'
import { InvariantError } from '../errors.ts'
import type { Registry } from '../connection.ts'
import { readConnectionQuery, selectConnections, viewConnection } from './connection-view.ts'
import { guardAgainstBrowsers, isLoopback } from './loopback-guard.ts'
import type { DrainState } from '../lifecycle/drain.ts'
import type { ReloadResult } from '../lifecycle/reload.ts'
import { jsonAnswer, OpsServer, type Answer, type OpsAddress, type Route } from './ops-server.ts'

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
  onError?: (error: unknown) => void
}

export class AdminServer {
  readonly #server: OpsServer

  constructor(options: AdminServerOptions) {
    const { clock, onError } = options
    const routes = adminRoutes(options)
    this.#server = new OpsServer({ clock, routes, guard: guardAgainstBrowsers, ...(onError === undefined ? {} : { onError }) })
  }

  /** Resolves with the port that was bound. Rejects an address that others could reach: `config` refuses it first. */
  async start(address: OpsAddress): Promise<number> {
    if (!('path' in address) && !isLoopback(address.host ?? '')) {
      throw new InvariantError('admin address is not a loopback address')
    }
    return this.#server.start(address)
  }

  stop(): Promise<void> {
    return this.#server.stop()
  }
}

function adminRoutes(options: AdminServerOptions): Route[] {
  const { clock, registry } = options
  const startedAt = clock.now()
  const routes: Route[] = [
    { method: 'GET', path: '/', summary: 'this help', handle: () => help(routes) },
    { method: 'GET', path: '/info', summary: 'version, process and counts', handle: () => info(options, clock.now() - startedAt) },
    {
      method: 'GET',
      path: '/connections',
      summary: 'live connections: ?listener=NAME &limit=100 &sort=age|buffered',
      handle: ({ query }) => connections(registry, query, clock.now()),
    },
    {
      method: 'GET',
      path: '/connections/:id',
      summary: 'one of them',
      handle: ({ parameter }) => connection(registry, parameter, clock.now()),
    },
    { method: 'GET', path: '/listeners', summary: 'listeners and their connections', handle: () => listeners(options) },
    ...(options.lifecycle === undefined ? [] : lifecycleRoutes(options.lifecycle)),
    { method: 'GET', path: '/upstreams', summary: 'upstream addresses: state, open connections, last check', handle: () => jsonAnswer(options.upstreams?.() ?? []) },
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
  return jsonAnswer({ drain: lifecycle.drainState })
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
  const { version, revision, registry, clock } = options
  return jsonAnswer({
    version,
    revision,
    node: process.version,
    pid: process.pid,
    startedAt: new Date(clock.wall() - uptimeMs).toISOString(),
    uptimeMs: Math.round(uptimeMs),
    connections: registry.size,
    phases: countBy(registry, 'phase'),
    protocols: countBy(registry, 'protocol'),
  })
}

function countBy(registry: Registry, key: 'phase' | 'protocol' | 'listener'): Record<string, number> {
  const counts = new Map<string, number>()
  for (const connection of registry) counts.set(connection[key], (counts.get(connection[key]) ?? 0) + 1)
  return Object.fromEntries(counts)
}

function connections(registry: Registry, search: URLSearchParams, now: number): Answer {
  const query = readConnectionQuery(search)
  if (typeof query === 'string') return jsonAnswer({ error: query }, 400)
  return jsonAnswer(selectConnections(registry, query).map((chosen) => viewConnection(chosen, now)))
}

function connection(registry: Registry, id: string, now: number): Answer {
  const found = /^\d{1,15}$/.test(id) ? registry.get(Number(id)) : undefined
  return found === undefined ? jsonAnswer({ error: 'no such connection' }, 404) : jsonAnswer(viewConnection(found, now))
}

function listeners(options: AdminServerOptions): Answer {
  const counts = countBy(options.registry, 'listener')
  return jsonAnswer(options.listeners().map((listener) => ({ ...listener, connections: counts[listener.name] ?? 0 })))
}
