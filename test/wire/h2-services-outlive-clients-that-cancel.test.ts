// Clients that cancel their requests share sessions with those that do not. Services count the resets of a
// session, and end one with too many, and all its streams (Node and nghttp2: 1000, then 33 a second; Envoy:
// half of the first 500 streams).

import type { ServerHttp2Stream } from 'node:http2'
import { test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Answer, h2Ask, h2Connect } from '../support/h2-client.ts'
import { h2Service } from '../support/h2-services.ts'
import { watchLeaks } from '../support/leaks.ts'

const CANCEL = 8
/** A client may reset no more than some 200 in a row (docs/threat-model.md). */
const OF_EACH = 100

for (const { what, clients, workers } of [
  { what: 'of one thread', clients: 14, workers: 1 },
  { what: 'of two workers that reload meanwhile', clients: 8, workers: 2 },
])
  test(`a service is sent a bounded number of resets over one session ${what}, and nobody else feels any`, async (t) => {
    watchLeaks(t)
    const held: ServerHttp2Stream[] = []
    const resets = new Map<unknown, number>()
    const service = await h2Service(t, (stream, { ':path': path }) => {
      const { session } = stream
      stream.on('close', () => {
        if (stream.rstCode === CANCEL) resets.set(session, (resets.get(session) ?? 0) + 1)
      })
      stream.respond({ ':status': 200 })
      if (path === '/held') held.push(stream)
      else if (path !== '/cancelled') stream.end('ok')
    })
    const listener = `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c }`
    const gate = await startGate(t, [listener], { workers })
    const innocent = await h2Connect(t, gate.port)
    const long = h2Answer(innocent.request({ ':path': '/held' }))
    await eventually(() => held.length === 1)
    for (let client = 0; client < clients; client++) {
      if (workers > 1 && client === clients / 2)
        t.match(await gate.reload([`${listener}, deadlines: { response: 50s }`]), { result: 'success' })
      const session = await h2Connect(t, gate.port)
      for (let nth = 0; nth < OF_EACH; nth++) {
        const stream = session.request({ ':path': '/cancelled' })
        stream.on('error', () => {})
        await new Promise<void>((resolve) => void stream.on('response', () => resolve()))
        stream.close(CANCEL)
      }
      t.match(await h2Ask(innocent), { status: 200, body: 'ok', code: 0 })
      session.close()
    }
    await eventually(() => [...resets.values()].reduce((sum, count) => sum + count, 0) === clients * OF_EACH)
    for (const count of resets.values()) t.ok(count <= 250, `${count} over one session`)
    t.ok(service.sessions.length < resets.size + workers, 'no more sessions than that')
    held[0]!.end('still')
    t.match(await long, { status: 200, body: 'still', code: 0 })
    innocent.close()
    await eventually(() => gate.lines.length === clients * (OF_EACH + 2) + 2)
    t.same(
      [...new Set(gate.lines.filter(({ side }) => side === 'upstream').map(({ detail }) => detail))],
      [],
      'no end by the service',
    )
  })
