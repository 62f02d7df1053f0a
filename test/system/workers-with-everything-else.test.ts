// The built program with several workers and its other parts: limits of a fleet, the page and the admin
// server, a reload and a drain.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import net from 'node:net'
import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { connect, echo } from '../support/peers.ts'
import { needs, temporary } from '../support/tools.ts'
import { freePorts, get, runFile } from './program.ts'
import type { Program } from './program.ts'
import { redisServer } from './redis-server.ts'

const LONG = { withinMs: 30_000 }
const WORKERS = 3
const CLIENTS = 100
const BURST = 40

/** The number of answers for so many at once. */
async function served(port: number, clients: number): Promise<number> {
  const answers = await Promise.all(
    Array.from({ length: clients }, async () => {
      const socket = net.connect(port, '127.0.0.1')
      socket.on('error', () => {}).write('x')
      const closed = new Promise<boolean>((resolve) => socket.once('close', () => resolve(false)))
      const isServed = await Promise.race([
        new Promise<boolean>((resolve) => socket.once('data', () => resolve(true))),
        closed,
      ])
      socket.destroy()
      return isServed
    }),
  )
  return answers.filter(Boolean).length
}

const ended = ({ lines }: Program): number =>
  lines.filter((line) => line.includes('"connection closed"')).length

test(
  'limits of the fleet, the page, a reload and a drain, with 3 workers',
  needs('redis-server'),
  async (t) => {
    const redis = await redisServer(t)
    const [upstream, ports] = [await echo(t), freePorts(4)]
    const [health, admin, one, other] = ports
    const file = join(temporary(t), 'sidegate.yaml')
    const textOf = (rest: string): string => `workers: ${WORKERS}
drain: { minDuration: off, spread: off, timeout: 5s, tcp: spread }
shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 2s } }
health: { address: "127.0.0.1:${health}" }
admin: { address: "127.0.0.1:${admin}" }
listeners:
  - { name: l0, address: "127.0.0.1:${one}", protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { newConnections: { rate: 1, burst: ${BURST}, per: client, onExceed: close, scope: fleet } } }
${rest}`
    writeFileSync(file, textOf(''))
    const gate = await runFile(t, file, { ports: [health!, admin!, one!] })
    await eventually(async () => (await gate.metrics()).get('sidegate_shared_gates', {}) === WORKERS, LONG)
    const from = performance.now()
    const count = await within(served(gate.port, CLIENTS), LONG)
    // Each may let a lease through before it has asked (docs/fleet.md).
    const lease = BURST / (WORKERS + 1)
    const most = BURST + WORKERS * lease + (performance.now() - from) / 1000
    t.ok(count >= BURST / 2 && count <= most, `${count} of at most ${most.toFixed(1)} were let on`)

    for (const path of [
      '/',
      '/info',
      '/series',
      '/connections',
      '/upstreams',
      '/config',
      '/recent',
      '/advice',
    ])
      t.equal((await get(admin!, path)).status, 200, path)

    writeFileSync(
      file,
      textOf(
        `  - { name: l1, address: "127.0.0.1:${other}", protocol: tcp, upstream: "127.0.0.1:${upstream.port}" }\n`,
      ),
    )
    gate.child.kill('SIGHUP')
    await eventually(() => gate.lines.some((line) => line.includes('"msg":"reloaded"')), LONG)
    const wires = await Promise.all(Array.from({ length: 20 }, () => connect(t, other!)))
    for (const wire of wires) {
      await wire.write('x')
      await within(wire.read(1), LONG)
    }
    const shared = Array.from({ length: WORKERS }, async (_, worker) =>
      (await gate.metrics()).get('sidegate_worker_connections', { worker: String(worker) }),
    )
    t.equal(
      (await Promise.all(shared)).reduce<number>((sum, open) => sum + (open ?? 0), 0),
      wires.length,
    )
    const before = ended(gate)
    gate.child.kill('SIGTERM')
    for (const wire of wires) await within(wire.closed, LONG)
    t.equal(await within(gate.exited, LONG), 0)
    t.equal(ended(gate) - before, wires.length, 'each end is told, by whichever worker')
  },
)
