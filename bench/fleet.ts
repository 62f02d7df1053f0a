// What do limits of a fleet cost, beside the same limits of a gate alone? CPU of the gate for each message, in turn with a gate whose limits
// are its own. Each client is another address, and says a message of 100 B so often that a lease lasts a while, or hardly. A second gate with
// limits of its own tells how far two gates that are alike differ on this machine.
//
//     npm run build && node bench/fleet.ts [gates [clients [messages a second of each, such as 2,10,30]]]
//
// The gates and Redis are processes of their own; clients and the service are this one. Needs redis-server.

import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { client, gate, redisCli, redisServer, service, talk } from './fleet-peers.ts'
import { freePort } from './free-port.ts'
import { compare, cpu } from './measure.ts'

const [others = '1', count = '300', rates = '2,10,30'] = process.argv.slice(2)
const CLIENTS = Number(count)
const SECONDS = 2
const ROUNDS = 11

interface Gate {
  name: string
  pid: number
  clients: Socket[]
}

/** CPU microseconds of the gate for a message, at so many a second from each client. */
async function cost({ pid, clients }: Gate, perSec: number): Promise<number> {
  const before = cpu(pid)
  const sent = await talk(clients, perSec, SECONDS)
  await delay(200)
  return ((cpu(pid) - before) * 1e6) / sent
}

async function start(upstream: number, redis: number | null): Promise<Gate> {
  const { pid, port } = await gate(directory, upstream, redis)
  const clients: Socket[] = []
  for (let nth = 0; nth < CLIENTS; nth++) clients.push(await client(port, nth + 1))
  return { name: `limits of ${redis === null ? 'the gate' : 'the fleet'}`, pid, clients }
}

/** Other gates, which have given their sign of life for the next hour. */
function pretend(gates: number): void {
  const at = String(Date.now() + 3_600_000)
  for (let nth = 0; nth < gates; nth++) redisCli(redisPort, 'hset', 'sidegate:gates', `other ${nth}`, at)
}

const directory = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
const redisPort = await freePort()
const redis = await redisServer(directory, redisPort)
try {
  pretend(Number(others) - 1)
  const upstream = await service()
  const gates = [await start(upstream, null), await start(upstream, redisPort), await start(upstream, null)]
  for (const one of [...gates, ...gates, ...gates]) await cost(one, 10)
  await compare(
    gates,
    rates
      .split(',')
      .map(Number)
      .map((perSec) => ({
        what: `${CLIENTS} clients, ${perSec} messages a second each, of 100 that they may`,
        unit: 'us of CPU a message',
        rounds: ROUNDS,
        ask: (one: Gate) => cost(one, perSec),
      })),
  )
} finally {
  redis.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}
process.exit(0)
