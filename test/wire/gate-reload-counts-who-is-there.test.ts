// `GET /upstreams` after a reload of the upstream's keys: the connections, requests and sessions of before it are at the same
// addresses, hold the same places, and count.

import type { ServerHttp2Stream } from 'node:http2'
import { test } from 'tap'
import { ask } from '../admin/admin.ts'
import type { UpstreamView } from '../../src/upstream/upstream-view.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { h2Service } from '../support/h2-services.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'

const LONG = { withinMs: 20_000 }

const viewOf = async ({ adminPort }: Gate): Promise<UpstreamView> =>
  (JSON.parse((await ask(adminPort, '/upstreams', {}, 'GET')).body) as UpstreamView[])[0]!

for (const workers of [1, 2]) {
  const where = workers === 1 ? '' : ', with workers'

  test(`connections and waits of before a reload count beside those of after it${where}`, async (t) => {
    watchLeaks(t, LONG)
    const service = await echo(t)
    const listener = (keys: string): string =>
      `protocol: tcp, upstream: { addresses: ["127.0.0.1:${service.port}"], queueTimeout: 60s, ${keys} }`
    const gate = await startGate(t, [listener('maxConnections: 4')], { workers })
    const say = async (text: string) => {
      const wire = await connect(t, gate.port)
      await wire.write(text)
      return wire
    }
    const counts = async (): Promise<number[]> => {
      const { targets, queued, maxConnections } = await viewOf(gate)
      return [...targets.map(({ open }) => open), queued, maxConnections!]
    }
    const seen = (open: number, queued: number, max: number): Promise<unknown> =>
      eventually(async () => String(await counts()) === String([open, queued, max]), {
        what: `${open} open, and ${queued} that wait`,
        ...LONG,
      })
    const held = []
    for (const text of '1234') {
      const wire = await say(text)
      await wire.read(1)
      held.push(wire)
    }
    const waits = [await say('5'), await say('6')]
    await seen(4, 2, 4)
    t.match(await gate.reload([listener('maxConnections: 3')]), { result: 'success' })
    t.same(await counts(), [4, 2, 3])
    waits.push(await say('7'))
    await seen(4, 3, 3)
    t.match(await gate.reload([listener('maxConnections: 5, balance: roundRobin')]), { result: 'success' })
    await seen(5, 2, 5)
    for (const wire of held) wire.end()
    await gate.end(3)
    await seen(3, 0, 5)
    for (const wire of waits) wire.end()
    await seen(0, 0, 5)
  })

  test(`connections at an address that a reload takes away are listed until they end${where}`, async (t) => {
    watchLeaks(t, LONG)
    const [one, two, three] = [await echo(t), await echo(t), await echo(t)]
    const to = (...ports: number[]): string =>
      `protocol: tcp, upstream: { addresses: [${ports.map((port) => `"127.0.0.1:${port}"`).join()}] }`
    const gate = await startGate(t, [to(one.port)], { workers })
    const said = async () => {
      const wire = await connect(t, gate.port)
      await wire.write('x')
      await wire.read(1)
      return wire
    }
    const listed = async (): Promise<string[]> =>
      (await viewOf(gate)).targets.map(
        ({ address, state, isMissing, open }) => `${address} ${state} ${isMissing} ${open}`,
      )
    const becomes = (...lines: string[]): Promise<unknown> =>
      eventually(async () => String((await listed()).toSorted()) === String(lines.toSorted()), {
        ...LONG,
        what: lines.join(),
      })
    const at = ({ port }: { port: number }, state: string, open: number): string =>
      `127.0.0.1:${port} ${state} false ${open}`
    const wires = [await said(), await said()]
    await becomes(at(one, 'unknown', 2))
    t.match(await gate.reload([to(two.port)]), { result: 'success' })
    wires.push(await said())
    await becomes(at(two, 'unknown', 1), at(one, 'gone', 2))
    t.match(await gate.metrics(), /sidegate_upstream_targets\{[^}]*state="gone"[^}]*\} 1\n/)
    t.match(await gate.reload([to(three.port)]), { result: 'success' })
    await becomes(at(three, 'unknown', 0), at(one, 'gone', 2), at(two, 'gone', 1))
    t.match(await gate.reload([to(three.port, one.port)]), { result: 'success' })
    await becomes(at(three, 'unknown', 0), at(one, 'unknown', 2), at(two, 'gone', 1))
    for (const wire of wires) wire.end()
    await becomes(at(three, 'unknown', 0), at(one, 'unknown', 0))
  })

  test(`so do requests over HTTP/2, and the sessions to their service${where}`, async (t) => {
    watchLeaks(t, LONG)
    const waiting: ServerHttp2Stream[] = []
    const service = await h2Service(t, (stream) => waiting.push(stream))
    const listener = (keys: string): string =>
      `protocol: http, http: { h2c: on }, upstream: { addresses: ["127.0.0.1:${service.port}"], protocol: h2c, ${keys} }`
    const gate = await startGate(t, [listener('maxConnections: 10')], { workers })
    const before = await h2Connect(t, gate.port)
    const answers = [h2Ask(before), h2Ask(before)]
    await eventually(() => waiting.length === 2, LONG)
    t.match(await gate.reload([listener('maxConnections: 9')]), { result: 'success' })
    t.match((await viewOf(gate)).targets, [{ open: 2, sessions: { open: 1, streams: 2 } }])
    answers.push(h2Ask(await h2Connect(t, gate.port)))
    await eventually(() => waiting.length === 3, LONG)
    t.match((await viewOf(gate)).targets, [{ open: 3, sessions: { open: 2, streams: 3 } }])
    for (const stream of waiting) {
      stream.respond({ ':status': 200 })
      stream.end('ok')
    }
    for (const answer of await Promise.all(answers)) t.equal(answer.status, 200)
    await eventually(async () => (await viewOf(gate)).targets[0]!.open === 0, LONG)
  })
}
