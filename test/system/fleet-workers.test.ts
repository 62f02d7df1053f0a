// Each of several workers has a way to Redis of its own: where one alone loses it, that is told by the log, the
// metrics and the admin server, and the clients of that worker have its share meanwhile.

import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { get, runProgram } from './program.ts'
import { redisServer } from './redis-server.ts'

const WORKERS = 2
const BOTH = new Set(['0', '1'])
const LONG = { withinMs: 30_000 }

test(
  'each worker that loses its Redis, and finds it again, says so with its number',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const upstream = await echo(t)
    const gate = await runProgram(
      t,
      [
        `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connectionsPerClient: { max: 6, scope: fleet } }`,
      ],
      { top: `workers: ${WORKERS}\nshared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 2s } }` },
    )
    const said = (what: string): string[] =>
      gate.lines
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .filter(({ msg }) => msg === `limits of the fleet: ${what}`)
        .map(({ worker }) => String(worker))
    await eventually(() => said('leased from Redis').length === WORKERS, LONG)
    t.same(new Set(said('leased from Redis')), BOTH)
    const clients = [
      ...(await redis.cli('client', 'list', 'type', 'normal')).matchAll(/^id=(\d+) .*cmd=eval/gm),
    ]
    t.equal(clients.length, WORKERS)
    // One after the other: redis-cli is no worker, and each worker has one connection.
    for (const [nth, [, id]] of clients.entries()) {
      // Nobody connects again meanwhile, so that the admin server can be asked.
      await redis.cli('config', 'set', 'requirepass', 'another')
      await redis.cli('-a', 'another', '--no-auth-warning', 'client', 'kill', 'id', id!)
      await eventually(() => new Set(said('Redis is away')).size === nth + 1, LONG)
      t.equal((await gate.metrics()).get('sidegate_shared_up'), 0)
      const { body } = await get(gate.adminPort, '/info')
      t.match(JSON.parse(body), { shared: { isUp: false, mode: 'local' } })
      await redis.cli('-a', 'another', '--no-auth-warning', 'config', 'set', 'requirepass', '')
      await eventually(async () => (await gate.metrics()).get('sidegate_shared_up') === 1, LONG)
    }
    t.same(new Set(said('Redis is away')), BOTH)
  },
)
