// Clients that wait for what their fleet says of them, with a real Redis that stands still, when a reload removes
// their listener.

import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { redisServer } from './redis-server.ts'

const BURST = 60
/** More than one lease holds, which is had unasked. */
const CLIENTS = 40

test(
  'newcomers that wait for Redis are refused with drain_timeout where a drain ends first',
  needs('redis-server'),
  async (t) => {
    watchLeaks(t)
    const redis = await redisServer(t)
    const upstream = await echo(t)
    const rule = `newConnections: { rate: 1, burst: ${BURST}, onExceed: close, scope: fleet }`
    const gate = await startGate(
      t,
      [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { ${rule} }`],
      {},
      `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 5s } }`,
    )
    await eventually(async () => /^sidegate_shared_up 1$/m.test(await gate.metrics()))
    await redis.signal('SIGSTOP')
    t.teardown(() => redis.signal('SIGCONT'))
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(t, gate.port)))
    const waiting = await eventually(() =>
      gate.registry.open === CLIENTS ? CLIENTS - gate.registry.size : null,
    )
    t.ok(waiting > 0)
    await gate.drain(300)
    await within(Promise.all(clients.map(({ closed }) => closed)))
    const told = `sidegate_connections_rejected_total{listener="l0",reason="drain_timeout"} ${waiting}\n`
    t.ok((await gate.metrics()).includes(told))
  },
)

for (const per of ['client', 'listener'] as const)
  test(
    `newcomers for each ${per} that wait for Redis when a reload removes their listener are served as it says`,
    needs('redis-server'),
    async (t) => {
      watchLeaks(t)
      const redis = await redisServer(t)
      const upstream = await echo(t)
      const tcp = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`
      const rule = `newConnections: { rate: 1, burst: ${BURST}, per: ${per}, onExceed: close, scope: fleet }`
      const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 5s } }\ndrain: { spread: 50m, timeout: 1h }`
      const gate = await startGate(t, [tcp, `${tcp}, limits: { ${rule} }`], {}, top)
      await eventually(async () => /^sidegate_shared_up 1$/m.test(await gate.metrics()))
      await redis.signal('SIGSTOP')
      t.teardown(() => redis.signal('SIGCONT'))
      const clients = await Promise.all(
        Array.from({ length: CLIENTS }, () => connect(t, gate.ports[1]!, { halfOpen: true })),
      )
      t.match(await gate.reload([tcp], top), { result: 'success' })
      t.ok(gate.registry.size < CLIENTS, `${gate.registry.size} were served unasked`)
      t.equal(gate.registry.open, CLIENTS, 'the others wait')
      await redis.signal('SIGCONT')
      const answers = clients.map(async (client) => {
        void client.write('?')
        return client.read(1).then(
          () => 'served',
          () => client.outcome?.code,
        )
      })
      t.same([...new Set(await within(Promise.all(answers)))], ['served'])
      for (const client of clients) client.end()
      await gate.end(CLIENTS - 1)
    },
  )
