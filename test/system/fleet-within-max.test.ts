// A client that has no more connections than it may is let on, whichever gates it comes to: through real gates
// with a real Redis. Other gates may hold spare places for it, which nobody uses.

import { setTimeout as delay } from 'node:timers/promises'
import root, { test, type Test } from 'tap'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { redisServer } from './redis-server.ts'

const GATES = 4
const CLIENTS = 12

root.jobs = 2
const beside = { ...needs('redis-server'), buffered: true }

async function scene(t: Test, max: number): Promise<Gate[]> {
  const redis = await redisServer(t)
  const upstream = await echo(t)
  const limits = `limits: { connectionsPerClient: { max: ${max}, scope: fleet } }`
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", ${limits}`
  const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 4s } }`
  const gates = await Promise.all(Array.from({ length: GATES }, () => startGate(t, [listener], {}, top)))
  await knowEachOther(gates)
  return gates
}

async function isServed(t: Test, gate: Gate, from: string): Promise<boolean> {
  const wire = await connect(t, gate.port, { from }).catch(() => null)
  if (wire === null) return false
  void wire.write('?')
  return wire.read(1).then(
    () => true,
    () => false,
  )
}

for (const [max, gapMs] of [
  [8, 0],
  [8, 30],
  [20, 0],
] as const)
  test(
    `max connections of a client at four gates, ${max} of ${max}, ${gapMs} ms apart`,
    beside,
    async (t) => {
      const gates = await scene(t, max)
      const all = Array.from({ length: CLIENTS }, async (_, nth) => {
        const served: Array<Promise<boolean>> = []
        for (let one = 0; one < max; one++) {
          const gate = gates[Math.floor(Math.random() * GATES)]!
          served.push(isServed(t, gate, `127.7.0.${nth + 1}`))
          if (gapMs > 0) await delay(gapMs)
        }
        return (await Promise.all(served)).filter(Boolean).length
      })
      t.same(
        await Promise.all(all),
        all.map(() => max),
      )
      const more = gates.map((gate) => isServed(t, gate, '127.7.0.1'))
      const beyond = (await Promise.all(more)).filter(Boolean).length
      t.ok(beyond < GATES, 'each gate lets a newcomer on unasked once, and not one that it knows')
    },
  )
