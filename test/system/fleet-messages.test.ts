// Messages under limits of the fleet: two real gates with a real Redis, one client at both, each action in each mode.

import { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { needs } from '../support/tools.ts'
import { rawClient, wsServer } from '../support/websocket.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { redisServer } from './redis-server.ts'

const BURST = 90
const GATES = 2
const LEASE = BURST / (GATES + 1)
const AT_EACH = 200

interface Options {
  mode: 'frames' | 'messages'
  action: 'delay' | 'close' | 'drop'
  rate: number
}

async function scene(t: Test, { mode, action, rate }: Options) {
  const redis = await redisServer(t)
  const rule = `rate: ${rate}, burst: ${BURST}, per: client, onExceed: ${action}, scope: fleet`
  const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 2s } }`
  const sides = []
  while (sides.length < GATES) {
    const upstream = await wsServer(t, { echo: false })
    const keys = `limits: { messages: { ${rule} } }, websocket: { mode: ${mode} }`
    const gate = await startGate(
      t,
      [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${keys}`],
      {},
      top,
    )
    sides.push({ upstream, gate })
  }
  await knowEachOther(sides.map(({ gate }) => gate))
  return Promise.all(
    sides.map(async ({ upstream, gate }) => {
      const client = await rawClient(t, gate.port)
      const server = await upstream.connection()
      return { gate, client, came: () => server.messages.map(({ data }) => data.toString()) }
    }),
  )
}

const numbers = Array.from({ length: AT_EACH }, (_, nth) => `${nth}`)
const flood = Buffer.concat(numbers.map((payload) => encodeFrame({ opcode: 'text', payload, mask: true })))

/** It says so once what was sent before has been judged. */
const settled = async (gate: Gate, came: number): Promise<boolean> =>
  new RegExp(`^sidegate_websocket_messages_total\\{[^}]*direction="to_upstream"[^}]*\\} ${came}$`, 'm').test(
    await gate.metrics(),
  )

for (const mode of ['frames', 'messages'] as const) {
  test(
    `messages over the rate of the fleet are delayed, and none is lost: ${mode}`,
    needs('redis-server'),
    async (t) => {
      const rate = 100
      const lines = await scene(t, { mode, action: 'delay', rate })
      const since = performance.now()
      for (const { client } of lines) void client.send(flood)
      const total = (): number => lines.reduce((sum, { came }) => sum + came().length, 0)
      const over: string[] = []
      await eventually(
        () => {
          const bound = BURST + GATES * LEASE + Math.ceil(((performance.now() - since) * rate) / 1000) + 1
          if (total() > bound) over.push(`${total()} of ${bound}`)
          return total() === GATES * AT_EACH
        },
        { what: 'all messages', withinMs: 30_000 },
      )
      t.same(over, [], 'within the bound all the while')
      for (const { came, gate } of lines) {
        t.same(came(), numbers, 'in order')
        t.equal(gate.lines.length, 0, 'and nobody ends')
      }
    },
  )

  test(
    `a client over the rate of the fleet ends with rate_limited, not before it has had its burst: ${mode}`,
    needs('redis-server'),
    async (t) => {
      const lines = await scene(t, { mode, action: 'close', rate: 1 })
      const since = performance.now()
      const had: number[] = []
      for (const { gate, client, came } of lines) {
        void client.send(flood)
        const { close, side } = (await eventually(() => gate.lines[0], { what: 'an end' })) as Record<
          string,
          string
        >
        t.same([close, side], ['rate_limited', 'client'])
        had.push(came().length)
      }
      const flowed = Math.ceil((performance.now() - since) / 1000)
      t.ok(had[0]! >= BURST, `${had[0]} at the first gate`)
      t.ok(had[0]! + had[1]! <= BURST + flowed + GATES * LEASE, `${had.join(' and ')} at both`)
    },
  )
}

test('messages over the rate of the fleet are dropped, and nobody ends', needs('redis-server'), async (t) => {
  const lines = await scene(t, { mode: 'messages', action: 'drop', rate: 1 })
  const since = performance.now()
  const had: number[] = []
  for (const { gate, client, came } of lines) {
    void client.send(flood)
    await eventually(() => settled(gate, AT_EACH), { what: 'a verdict on all' })
    t.equal(gate.lines.length, 0)
    had.push(came().length)
  }
  const flowed = Math.ceil((performance.now() - since) / 1000)
  t.ok(had[0]! >= BURST, `${had[0]} at the first gate`)
  t.ok(had[0]! + had[1]! <= BURST + flowed + GATES * LEASE, `${had.join(' and ')} at both`)
})
