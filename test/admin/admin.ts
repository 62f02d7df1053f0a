// An admin server over a registry that the test fills, and a client of the server.

import { request, type IncomingHttpHeaders } from 'node:http'
import type { Test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { Connection, Registry } from '../../src/core/connection.ts'
import type { ConnectionOwner } from '../../src/core/connection.ts'
import { parseDuration } from '../../src/config/units.ts'
import { Directory } from '../../src/gate/directory.ts'
import { AdminServer } from '../../src/admin/admin-server.ts'
import type { AdminServerOptions } from '../../src/admin/admin-server.ts'
import type { Leveled } from '../../src/admin/log-level.ts'
import { addressOf } from '../support/addresses.ts'

export interface Reply {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

export type Row = Record<string, unknown>

export function adminOptions(given: Partial<AdminServerOptions> = {}): AdminServerOptions {
  return {
    clock: systemClock,
    connections: directoryOf(systemClock, new Registry()),
    version: '1.2.3',
    revision: 'abc',
    state: () => 'running',
    config: () => Promise.resolve({ log: { level: 'info' } }),
    configError: () => null,
    log: { level: 'info' },
    parseDuration: (text) => parseDuration(text, { min: 1, max: Infinity, isOffAllowed: false }),
    tokenFile: null,
    listeners: () => [
      { name: 'app', address: ':17080', protocol: 'http', upstream: '127.0.0.1:8080' },
      { name: 'raw', address: ':17081', protocol: 'tcp', upstream: '127.0.0.1:9090' },
    ],
    upstreams: async () => [{ listener: 'app', targets: [{ address: '127.0.0.1:8080' }] }],
    ...given,
  }
}

/** The server as the operator builds it, over one gate that the test fills. */
function directoryOf(clock: Clock, registry: Registry): AdminServerOptions['connections'] {
  const directory = new Directory(clock, registry, () => null)
  return {
    list: async (query) => (await directory.list(query)).ids,
    rows: async (query) => directory.rows(query),
    describe: (id) => directory.describe(id),
    kill: async (id) =>
      directory.close({ reason: 'killed', which: [{ id, detail: 'by an operator' }] })[0] ?? null,
    counts: async () => directory.counts(),
  }
}

export interface Opened {
  protocol?: Connection['protocol']
  client?: string
  queuedForClient?: number
  owner?: Partial<ConnectionOwner>
}

export async function setUp(t: Test, given: Partial<AdminServerOptions> & { registry?: Registry } = {}) {
  const { registry = new Registry(), ...options } = given
  const clock: Clock = given.clock ?? systemClock
  const log: Leveled = given.log ?? { level: 'info' }
  const server = new AdminServer(
    adminOptions({ connections: directoryOf(clock, registry), clock, log, ...options }),
  )
  const port = await server.start({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.stop())
  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    ask(port, path, headers, method)
  const rows = async (path: string) => JSON.parse((await get(path)).body) as Row[]
  const row = async (path: string, method = 'GET') => JSON.parse((await get(path, {}, method)).body) as Row

  function open(
    listener: string,
    ageMs: number,
    { protocol = 'websocket', client, queuedForClient = 0, owner = {} }: Opened = {},
  ): Connection {
    const connection = new Connection(
      registry.nextId(),
      listener,
      protocol,
      addressOf(client ?? `10.0.0.1:${registry.size}`),
      clock.now() - ageMs,
    )
    connection.owner = {
      close() {},
      queued: (side) => (side === 'client' ? queuedForClient : 0),
      lastDrainAt: () => 0,
      isPaused: () => false,
      ...owner,
    }
    registry.add(connection)
    return connection
  }
  return { server, port, get, rows, row, open, registry, log }
}

export function ask(
  port: number,
  path: string,
  headers: Record<string, string>,
  method: string,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', path, method, headers, agent: false }, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }))
    })
    asked.on('error', reject)
    asked.end()
  })
}
