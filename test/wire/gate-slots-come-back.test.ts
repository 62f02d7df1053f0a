import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, finsFirst, flooder, neverCloses, refuser, resetter, sink } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'
import type { Wire } from '../support/wire.ts'

const SLOTS = 3
const nowhere = { write: () => {} }

interface Kind {
  reason: string
  upstream: (t: Parameters<typeof echo>[0]) => Promise<{ port: number }>
  deadlines?: string
  options?: Parameters<typeof connect>[2]
  act?: (client: Wire) => unknown
}

const kinds: Kind[] = [
  { reason: 'eof', upstream: echo, act: (client) => client.end('x') },
  { reason: 'reset', upstream: (t) => neverCloses(t), act: (client) => client.reset() },
  { reason: 'reset', upstream: (t) => resetter(t, 1), act: (client) => client.write('x') },
  { reason: 'connect_refused', upstream: (t) => Promise.resolve(refuser(t)) },
  { reason: 'connect_timeout', upstream: backlogFull, deadlines: 'connect: 100ms' },
  { reason: 'idle_timeout', upstream: (t) => sink(t), deadlines: 'idle: 100ms' },
  { reason: 'lifetime_timeout', upstream: (t) => sink(t), deadlines: 'lifetime: 100ms' },
  {
    reason: 'half_close_timeout',
    upstream: (t) => neverCloses(t),
    deadlines: 'halfClose: 100ms',
    act: (client) => client.end(),
  },
  {
    reason: 'half_close_timeout',
    upstream: (t) => finsFirst(t),
    deadlines: 'halfClose: 100ms',
    options: { halfOpen: true },
  },
  {
    reason: 'write_timeout',
    upstream: (t) => flooder(t, { into: nowhere }),
    deadlines: 'write: 100ms',
    options: { unread: true },
  },
]

for (const [nth, { reason, upstream, deadlines = '', options = {}, act }] of kinds.entries()) {
  test(`slots come back after an end by ${reason} (${nth})`, async (t) => {
    watchLeaks(t)
    const { port } = await upstream(t)
    const gate = await startGate(t, [
      `protocol: tcp, upstream: { addresses: ["127.0.0.1:${port}"], retryFor: off }, deadlines: { ${deadlines} }, limits: { connections: ${SLOTS} }`,
    ])
    for (let round = 0; round < 3; round += 1) {
      const clients = await Promise.all(Array.from({ length: SLOTS }, () => connect(t, gate.port, options)))
      // A client that resets before its accept is refused, and is no connection.
      if (act !== undefined)
        await eventually(() => gate.registry.size === SLOTS, { what: `${SLOTS} connections` })
      for (const client of clients) void act?.(client)
      await eventually(() => gate.lines.length === (round + 1) * SLOTS, {
        withinMs: 30_000,
        what: `${SLOTS} ends`,
      })
      for (const client of clients) client.destroy()
    }
    t.same(new Set(gate.lines.map((line) => line['close'])), new Set([reason]))
    t.equal(gate.registry.size, 0)
    t.match(await gate.metrics(), /sidegate_connections_rejected_total\{listener="l0",reason="too_many"\} 0/)
  })
}
