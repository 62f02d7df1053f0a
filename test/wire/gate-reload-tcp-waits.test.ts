// A tcp connection cannot be asked to go. Where a reload takes its listener away (or gives that another name or
// protocol) it goes on for as long as in a drain.

import { test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, listen } from '../support/peers.ts'
import type { Wire } from '../support/wire.ts'
import { wsClient, wsServer } from '../support/websocket.ts'

const LONG = { withinMs: 20_000 }
const rest = (times: string): string => `drain: { minDuration: off, ${times} }`

for (const workers of [1, 2])
  test(`a query that is under way is answered where a reload removes its listener, after others were asked to go; ${workers} workers`, async (t) => {
    watchLeaks(t, LONG)
    const waiting: Wire[] = []
    const db = await listen(t, (wire) => {
      wire.socket.on('data', () => void waiting.push(wire))
      void wire.ended.then(() => wire.end())
    })
    const service = await wsServer(t)
    const listeners = [
      `protocol: tcp, upstream: "127.0.0.1:${db.port}"`,
      `protocol: http, upstream: "127.0.0.1:${service.port}"`,
    ]
    const gate = await startGate(t, listeners, { workers })
    const [client, socket] = [
      await connect(t, gate.port),
      await wsClient(t, `ws://127.0.0.1:${gate.ports[1]}`),
    ]
    await client.write('?')
    await eventually(() => waiting.length === 1)
    const others = `- { name: others, address: "127.0.0.1:0", protocol: tcp, upstream: "127.0.0.1:${db.port}" }`
    const text = [
      rest('spread: 300ms, timeout: 60s'),
      'log: { probes: true }',
      'health: { address: "127.0.0.1:0" }',
      'admin: { address: "127.0.0.1:0" }',
      'listeners:',
      `  ${others}`,
    ]
    t.match(await gate.reloadText(text.join('\n')), { result: 'success' })
    t.match(await within(socket.closed, LONG), { code: 1012, reason: 'reloaded' })
    t.equal(client.hasEnded, false)
    await waiting[0]!.write('!')
    t.equal((await client.read(1)).toString(), '!')
    client.end()
    await eventually(
      () => gate.lines.some(({ close, protocol }) => protocol === 'tcp' && close === 'eof'),
      LONG,
    )
  })

for (const times of ['spread: 100ms, timeout: 60s, tcp: spread', 'spread: 100ms, timeout: 1s'])
  test(`its time ends with ${times}, and the log says that it was cut`, async (t) => {
    watchLeaks(t)
    const db = await listen(t, (wire) => void wire.ended.then(() => wire.end()))
    const listener = `protocol: tcp, upstream: "127.0.0.1:${db.port}"`
    const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${db.port}"`, listener])
    const client = await connect(t, gate.ports[1]!)
    await client.write('?')
    await (await db.connection()).read(1)
    t.match(await gate.reload([`protocol: http, upstream: "127.0.0.1:${db.port}"`], rest(times)), {
      result: 'success',
    })
    t.equal(await within(client.ended, LONG), true)
    client.end()
    t.match((await gate.end()).line, { close: 'reloaded', side: 'sidegate', cut: true })
  })
