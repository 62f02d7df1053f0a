// What an operator asks a running Sidegate, on loopback. Routes are rows of a table; all of them only read. Whoever
// can reach the port may ask, so it binds loopback addresses only and refuses what browsers send for foreign pages.

import type { Clock } from '../clock.ts'
import { InvariantError } from '../errors.ts'
import type { Registry } from '../connection.ts'
import { readConnectionQuery, selectConnections, viewConnection } from './connection-view.ts'
import { guardAgainstBrowsers, isLoopback } from './loopback-guard.ts'
import { jsonAnswer, OpsServer, type Answer, type OpsAddress, type Route } from './ops-server.ts'

/** A listener, as far as an operator wants to know. */
export interface ListenerView {
  name: string
  /** As in the configuration, and where that says port 0, as bound. */
  address: string
  protocol: 'tcp' | 'http'
  upstream: string
}

export interface AdminServerOptions {
  clock: Clock
  registry: Registry
  version: string
  revision: string
  listeners: () => readonly ListenerView[]
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
    { method: 'GET', path: '/upstreams', summary: 'upstream addresses: state, open connections, last check', handle: () => jsonAnswer(options.upstreams?.() ?? []) },
  ]
  return routes
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
