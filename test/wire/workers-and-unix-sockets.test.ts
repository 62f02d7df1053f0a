// Unix sockets with several workers: each socket belongs to one worker, whichever others may end, and the
// worker that replaces that one takes the socket too.

import { existsSync } from 'node:fs'
import net from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { ask } from '../admin/admin.ts'
import type { Row } from '../admin/admin.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { killWorker } from '../support/kill-worker.ts'
import { watchLeaks } from '../support/leaks.ts'
import { echo } from '../support/peers.ts'
import { temporary } from '../support/tools.ts'
import { Wire } from '../support/wire.ts'

const WORKERS = 3
const LONG = { withinMs: 60_000 }

async function talk(t: Test, path: string): Promise<Wire> {
  const socket = net.connect(path)
  const wire = new Wire(socket)
  t.teardown(() => socket.destroy())
  await within(once(socket, 'connect'), LONG)
  await say(wire)
  return wire
}

async function say(wire: Wire): Promise<void> {
  await wire.write('x')
  await within(wire.read(1), LONG)
}

test('each unix socket is served by one of 3 workers, also after any of them was killed, and by a reload it goes', async (t) => {
  watchLeaks(t, LONG)
  const upstream = await echo(t)
  const directory = temporary(t)
  const paths = Array.from({ length: 6 }, (_, nth) => join(directory, `${nth}.sock`))
  const listener = `protocol: tcp, upstream: "127.0.0.1:${upstream.port}"`
  const textOf = (some: readonly string[]): string =>
    `health: { address: "127.0.0.1:0" }\nadmin: { address: "127.0.0.1:0" }\nlisteners:\n  - { name: l0, address: "127.0.0.1:0", ${listener} }\n${some
      .map((path) => `  - { name: "u${paths.indexOf(path)}", address: "unix:${path}", ${listener} }\n`)
      .join('')}`
  const messages: unknown[] = []
  const gate = await startGate(t, [listener], {
    workers: WORKERS,
    onLine: ({ msg }) => messages.push(msg),
  })
  t.match(await gate.reloadText(textOf(paths)), { result: 'success' })
  let clients = await Promise.all(paths.map((path) => talk(t, path)))
  const workerOf = async (): Promise<Map<string, number>> => {
    const rows = JSON.parse((await ask(gate.adminPort, '/connections', {}, 'GET')).body) as Row[]
    return new Map(rows.map((row) => [String(row['listener']), Number(row['id']) % WORKERS]))
  }
  const before = await workerOf()
  t.ok(new Set(before.values()).size > 1, "not all of them are the same one's")
  for (let worker = 0; worker < WORKERS; worker++) {
    await killWorker(worker)
    for (const [nth, client] of clients.entries())
      if (before.get(`u${nth}`) === worker) await within(client.closed, LONG)
      else await say(client)
    await eventually(
      () => messages.filter((message) => message === 'worker replaced').length === worker + 1,
      LONG,
    )
    clients = await Promise.all(
      clients.map(async (client, nth) => (client.outcome === null ? client : talk(t, paths[nth]!))),
    )
  }
  t.same(await workerOf(), before, 'the same worker has it again')
  t.match(await gate.reloadText(textOf(paths.slice(3))), { result: 'success' })
  t.same(
    paths.map((path) => existsSync(path)),
    [false, false, false, true, true, true],
  )
  await talk(t, paths[5]!)
  for (const client of clients) client.destroy()
  await within(gate.drain(5000), LONG)
  t.notOk(paths.some((path) => existsSync(path)))
})
