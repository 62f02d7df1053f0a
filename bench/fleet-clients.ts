// What do many clients of a fleet cost Redis and three gates? Scripts a second, memory of Redis, and CPU of both, while 10,000 clients of as
// many addresses are silent, and while each says a message or three a second; then the CPU of three gates whose limits are their own.
//
//     npm run build && node bench/fleet-clients.ts [clients]
//
// The gates, Redis and the service are processes of their own; each holds a descriptor for a client, and this one too. Needs redis-server.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { client, gate, redisCli, redisServer, service, talk } from './fleet-peers.ts'
import { freePort } from './free-port.ts'
import { cpu } from './measure.ts'

const GATES = 3
const SECONDS = 20
const AT_ONCE = 50

if (process.argv[2] === 'service') process.send!(await service())
else await measure(Number(process.argv[2] ?? 10_000))

async function measure(count: number): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'sidegate-bench-'))
  const port = await freePort()
  const redis = await redisServer(directory, port)
  const reader = fork(import.meta.filename, ['service'])
  try {
    const [upstream] = (await once(reader, 'message')) as [number]
    for (const at of [port, null]) {
      const empty = info(port, 'used_memory')
      const gates = await Promise.all(Array.from({ length: GATES }, () => gate(directory, upstream, at)))
      const clients = await connectAll(gates, count)
      console.log(`${GATES} gates, limits of ${at === null ? 'each gate' : 'the fleet'}, ${count} clients`)
      await delay(5000)
      for (const perSec of [0, 1, 3]) {
        const pids = gates.map(({ pid }) => pid)
        const before = { calls: info(port, 'calls'), gates: total(pids), redis: cpu(redis.pid!) }
        const sent = perSec === 0 ? (await delay(SECONDS * 1000), 0) : await talk(clients, perSec, SECONDS)
        const a = (all: number): string => (all / SECONDS).toFixed(3)
        console.log(
          `  ${a(sent)} messages a second: ${a(info(port, 'calls') - before.calls)} scripts a second, ` +
            `${((info(port, 'used_memory') - empty) / 1e6).toFixed(1)} MB in Redis, seconds of CPU a second: ` +
            `Redis ${a(cpu(redis.pid!) - before.redis)}, gates ${a(total(pids) - before.gates)}`,
        )
      }
      for (const socket of clients) socket.destroy()
      for (const { pid } of gates) process.kill(pid, 'SIGKILL')
      await delay(2000)
    }
  } finally {
    redis.kill('SIGKILL')
    reader.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  }
  process.exit(0)
}

/** CPU seconds of all. */
function total(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpu(pid), 0)
}

/** Clients at the gates in turn. */
async function connectAll(gates: ReadonlyArray<{ port: number }>, count: number): Promise<Socket[]> {
  const clients: Socket[] = []
  while (clients.length < count) {
    const first = clients.length
    const some = Array.from({ length: Math.min(AT_ONCE, count - first) }, (_, nth) => first + nth)
    clients.push(...(await Promise.all(some.map((nth) => client(gates[nth % GATES]!.port, nth + 1)))))
  }
  return clients
}

/** `calls` of scripts so far, or the bytes of `used_memory`. */
function info(port: number, what: 'calls' | 'used_memory'): number {
  const text = redisCli(port, 'info', what === 'calls' ? 'commandstats' : 'memory')
  return Number((what === 'calls' ? /cmdstat_evalsha:calls=(\d+)/ : /used_memory:(\d+)/).exec(text)?.[1] ?? 0)
}
