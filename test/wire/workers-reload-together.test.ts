// A reload with several workers: all of them change or none, and no client loses its connection by it.

import net from 'node:net'
import { once } from 'node:events'
import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'
import { freePort } from '../support/free-port.ts'
import type { Wire } from '../support/wire.ts'

const RELOADS = 100
const CLIENTS = 50
const WORKERS = 3
const LONG = { withinMs: 30_000 }

async function say(wire: Wire): Promise<void> {
  await wire.write('x')
  await within(wire.read(1), LONG)
}

test('of 100 reloads with 50 live connections and 3 workers none costs a connection or refuses one', async (t) => {
  watchLeaks(t, LONG)
  const upstream = await echo(t)
  const listener = (nth: number): string =>
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connections: ${1000 + nth} }`
  const gate = await startGate(t, [listener(0)], { workers: WORKERS })
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connect(t, gate.port)))
  for (let nth = 1; nth <= RELOADS; nth++) {
    const reloaded = gate.reload([listener(nth)])
    const fresh = await connect(t, gate.port)
    await say(fresh)
    t.match(await reloaded, { result: 'success' })
    await say(clients[nth % CLIENTS]!)
    fresh.end()
    await within(fresh.ended, LONG)
  }
  for (const client of clients) await say(client)
  await eventually(() => gate.lines.length === RELOADS && gate.operator.open === CLIENTS, LONG)
  t.same(
    gate.lines.filter((line) => line['close'] !== 'eof'),
    [],
  )
})

test('a port that is taken refuses the reload for all workers, and a listener that comes is bound by each', async (t) => {
  watchLeaks(t, LONG)
  const upstream = await echo(t)
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`
  const gate = await startGate(t, [listener], { workers: WORKERS })
  const taken = net.createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as net.AddressInfo
  const client = await connect(t, gate.port)
  await say(client)
  const result = await gate.reloadText(
    `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n  - { name: l0, address: "127.0.0.1:0", ${listener} }\n  - { name: l1, address: "127.0.0.1:${port}", ${listener} }\n`,
  )
  t.match(result, { result: 'failure', problems: [/listeners\[1\]\.address: cannot listen/] })
  await say(client)
  t.match(await gate.reload([listener, listener]), { result: 'success' })
  const ports = gate.operator.ports
  t.equal(ports[0], gate.port, 'the first has the port that it had')
  for (let nth = 0; nth < 30; nth++) await say(await connect(t, ports[1]!))
  await say(client)
})

test('what one worker cannot bind is given up by those that have bound all of theirs', async (t) => {
  watchLeaks(t, LONG)
  const upstream = await echo(t)
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`
  const gate = await startGate(t, [listener], { workers: WORKERS })
  const port = freePort()
  // Each path belongs to one worker; some of these to another one than the first.
  for (let nth = 0; nth < 6; nth++) {
    const result = await gate.reloadText(
      `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n  - { name: l0, address: "127.0.0.1:0", ${listener} }\n  - { name: l1, address: "127.0.0.1:${port}", ${listener} }\n  - { name: l2, address: "unix:/absent/${nth}.sock", ${listener} }\n`,
    )
    t.match(result, { result: 'failure', problems: [/listeners\[2\]\.address: cannot listen/] })
    await t.rejects(connect(t, port), { code: 'ECONNREFUSED' }, 'no worker listens there')
  }
  await say(await connect(t, gate.port))
})
