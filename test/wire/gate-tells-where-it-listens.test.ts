// The addresses where a gate listens, in the log at its start and in its answers: with the ports that the
// system has given, in the order of the configuration, whichever worker has a listener.

import net from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import { Log } from '../../src/log/log.ts'
import { ask } from '../admin/admin.ts'
import type { Row } from '../admin/admin.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { killWorker } from '../support/kill-worker.ts'
import { watchLeaks } from '../support/leaks.ts'
import { echo } from '../support/peers.ts'
import { temporary } from '../support/tools.ts'

const LONG = { withinMs: 60_000 }

test('the started line names every listener, however many there are, with the port that it has', async (t) => {
  watchLeaks(t)
  const lines: Array<Record<string, unknown>> = []
  const log = new Log({
    writer: { write: (line) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
    clock: systemClock,
  })
  const gate = await startGate(
    t,
    Array.from({ length: 60 }, () => 'protocol: tcp, upstream: "127.0.0.1:9"'),
    { log },
  )
  const started = lines.find(({ msg }) => msg === 'started')
  t.equal(started?.['listeners'], gate.ports.map((port, nth) => `l${nth} 127.0.0.1:${port}`).join(', '))
})

async function rowsOf(gate: Gate, route: '/listeners' | '/upstreams'): Promise<Row[]> {
  return JSON.parse((await ask(gate.adminPort, route, {}, 'GET')).body) as Row[]
}

const addressOf = ({ address }: Row): unknown => address

/** That listener serves a client that dials the address. */
async function isServed(address: string): Promise<boolean> {
  const socket = address.startsWith('unix:')
    ? net.connect(address.slice('unix:'.length))
    : net.connect(Number(address.slice(address.lastIndexOf(':') + 1)), '127.0.0.1')
  try {
    socket.write('x')
    await within(once(socket, 'data'), LONG)
    return true
  } finally {
    socket.destroy()
  }
}

for (const workers of [1, 3])
  test(`GET /listeners gives addresses that can be dialled, also after reloads (workers: ${workers})`, async (t) => {
    watchLeaks(t, LONG)
    const upstream = await echo(t)
    const directory = temporary(t)
    const listener = (name: string, address: string): string =>
      `  - { name: ${name}, address: "${address}", protocol: tcp, upstream: "127.0.0.1:${upstream.port}" }\n`
    const unix = Array.from({ length: 6 }, (_, nth) => `unix:${join(directory, `${nth}.sock`)}`)
    const textOf = (listeners: readonly string[]): string =>
      `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n${listeners.join('')}`
    let replaced = 0
    const gate = await startGate(t, [`protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`], {
      workers,
      onLine: ({ msg }) => (replaced += msg === 'worker replaced' ? 1 : 0),
    })
    const addresses = async (): Promise<unknown[]> => (await rowsOf(gate, '/listeners')).map(addressOf)
    const [before] = await rowsOf(gate, '/listeners')
    t.equal(before!['address'], `127.0.0.1:${gate.port}`)
    const listeners = [
      ...unix.map((address, nth) => listener(`u${nth}`, address)),
      listener('every', ':0'),
      listener('l0', '127.0.0.1:0'),
    ]
    t.match(await gate.reloadText(textOf(listeners)), { result: 'success' })
    const rows = await rowsOf(gate, '/listeners')
    const names = [...unix.map((_, nth) => `u${nth}`), 'every', 'l0']
    t.same(
      rows.map(({ name }) => name),
      names,
    )
    t.same(
      (await rowsOf(gate, '/upstreams')).map((row) => row['listener']),
      names,
    )
    t.same(rows.slice(0, unix.length).map(addressOf), unix)
    t.equal(rows.at(-1)!['address'], before!['address'], 'the socket of the same listener stays')
    for (const { address } of rows) t.ok(await isServed(String(address)), String(address))
    t.match(await gate.reloadText(textOf([listener('l0', '192.0.2.1:0')])), { result: 'failure' })
    t.same(await addresses(), rows.map(addressOf), 'a reload that is refused changes nothing')
    if (workers === 1) return
    for (let worker = 0; worker < workers; worker++) {
      await killWorker(worker)
      t.same(await addresses(), rows.map(addressOf), 'also while a worker is missing')
      await eventually(() => replaced === worker + 1, LONG)
    }
    for (const { address } of rows) t.ok(await isServed(String(address)), String(address))
  })
