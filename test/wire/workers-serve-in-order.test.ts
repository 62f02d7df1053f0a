// Clients that wait for a place at an upstream get it in the order in which they came, whichever of three
// workers each of them met.

import net from 'node:net'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'

const WORKERS = 3
const PLACES = 4
const LONG = { withinMs: 60_000 }

/** A service that holds each connection until `release` ends the oldest. */
async function holdingService(t: Test) {
  const served: number[] = []
  const held: net.Socket[] = []
  let [open, most] = [0, 0]
  const server = net.createServer((socket) => {
    most = Math.max(most, ++open)
    socket.on('error', () => {})
    socket.once('data', (bytes) => {
      served.push(Number(bytes.toString()))
      held.push(socket)
      service.onHeld()
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const service = {
    served,
    port: (server.address() as net.AddressInfo).port,
    onHeld() {},
    /** At once. */
    most: () => most,
    release() {
      const socket = held.shift()
      if (socket === undefined) return
      // Its place is free again once the gate has noticed the end.
      open--
      socket.end('done')
    },
  }
  return service
}

function startWorkers(t: Test, port: number) {
  const upstream = `{ addresses: ["127.0.0.1:${port}"], maxConnections: ${PLACES}, queueTimeout: 2m }`
  return startGate(t, [`protocol: tcp, upstream: ${upstream}`], { workers: WORKERS })
}

test('200 clients of 3 workers get the 4 places of an upstream, and no more than 4 at a time', async (t) => {
  watchLeaks(t, LONG)
  const service = await holdingService(t)
  service.onHeld = () => setTimeout(service.release, 20)
  const gate = await startWorkers(t, service.port)
  const ends: Array<Promise<unknown>> = []
  for (let nth = 0; nth < 200; nth++) {
    const wire = await connect(t, gate.port)
    void wire.write(String(nth))
    ends.push(within(wire.ended, LONG))
  }
  await Promise.all(ends)
  t.equal(new Set(service.served).size, 200)
  t.ok(service.most() <= PLACES, `${service.most()} at a time`)
})

test('whoever came first gets the next place, in whichever worker it waits', async (t) => {
  const WAITING = 30
  /** More than the tolerance of the order. */
  const APART_MS = 60
  watchLeaks(t, LONG)
  const service = await holdingService(t)
  const gate = await startWorkers(t, service.port)
  const ends: Array<Promise<unknown>> = []
  for (let nth = 0; nth < PLACES + WAITING; nth++) {
    const wire = await connect(t, gate.port)
    void wire.write(String(nth))
    ends.push(within(wire.ended, LONG))
    await eventually(async () => service.served.length + (await queued(gate)) === nth + 1, {
      what: `client ${nth} with a place, or in the queue`,
      ...LONG,
    })
    await delay(APART_MS)
  }
  let overtook = 0
  const left = new Set(Array.from({ length: WAITING }, (_, nth) => PLACES + nth))
  for (let nth = 0; nth < WAITING; nth++) {
    service.release()
    await eventually(() => service.served.length > PLACES + nth, { what: `place ${nth} taken`, ...LONG })
    const next = service.served[PLACES + nth]!
    if (next !== Math.min(...left)) overtook++
    left.delete(next)
  }
  for (let nth = 0; nth < PLACES; nth++) service.release()
  await Promise.all(ends)
  // A worker that gets no core for 100 ms loses its turn, so the gate cannot promise the order of every client. With a queue for each
  // worker about two in three overtake.
  t.ok(overtook <= WAITING / 4, `${overtook} of ${WAITING} overtook`)
  t.comment(`${overtook} of ${WAITING} overtook`)
})

async function queued(gate: { metrics(): Promise<string> }): Promise<number> {
  const found = /^sidegate_upstream_queued\{[^}]*\} (\d+)$/m.exec(await gate.metrics())
  return Number(found?.[1] ?? 0)
}
