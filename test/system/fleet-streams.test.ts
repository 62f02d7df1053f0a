// Limits of the fleet for clients of HTTP/2: two real gates with a real Redis. The limits count connections,
// not streams; all streams of a client draw bytes and messages together, through either gate.

import type { ClientHttp2Session } from 'node:http2'
import { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Comes } from '../support/h2-client.ts'
import { h2Wire, websocketHead } from '../support/h2-wire.ts'
import { httpService } from '../support/http-service.ts'
import { needs } from '../support/tools.ts'
import { wsServer } from '../support/websocket.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { redisServer } from './redis-server.ts'

const GATES = 2
const STREAMS = 20
const KIB = 1024

/** Gates that know each other, with a listener for each of these limits. */
async function fleet(
  t: Test,
  limits: ReadonlyArray<readonly [limit: string, port: number]>,
): Promise<Gate[]> {
  const redis = await redisServer(t)
  const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 2s } }`
  const listeners = limits.map(
    ([limit, port]) =>
      `protocol: http, http: { h2c: on }, upstream: "127.0.0.1:${port}", limits: { ${limit}, scope: fleet } }`,
  )
  const gates: Gate[] = []
  while (gates.length < GATES) gates.push(await startGate(t, listeners, {}, top))
  await knowEachOther(gates)
  return gates
}

const comes = (t: Test, port: number, localAddress = '127.0.0.1'): Promise<ClientHttp2Session | null> =>
  h2Comes(t, `http://127.0.0.1:${port}`, STREAMS, { localAddress })

const many = async (t: Test, port: number, count: number): Promise<number> => {
  const all = await Promise.all(Array.from({ length: count }, () => comes(t, port)))
  return all.filter((session) => session !== null).length
}

test(
  'limits of the fleet count connections of HTTP/2, whatever their streams, and draw for all of them together',
  needs('redis-server'),
  async (t) => {
    const service = await httpService(
      t,
      (request, response) => void request.resume().on('end', () => response.end('served')),
    )
    const upstream = await wsServer(t, { echo: false })
    const gates = await fleet(t, [
      ['connectionsPerClient: { max: 10', service],
      ['newConnections: { rate: 1, burst: 12, per: client, onExceed: close', service],
      ['bytes: { rate: 512KiB, burst: 192KiB, per: client', service],
      ['messages: { rate: 1, burst: 90, per: client, onExceed: close', upstream.port],
    ])
    const portsOf = (nth: number): number[] => gates.map(({ ports }) => ports[nth]!)

    await t.test(
      'connectionsPerClient: no more than max over all gates; another client has its own',
      async (t) => {
        const [one, other] = portsOf(0) as [number, number]
        t.equal(await many(t, one, 6), 6)
        const more = (await many(t, one, 6)) + (await many(t, other, 6))
        t.ok(more >= 4 - GATES && more <= 4 + GATES, `${more} more`)
        for (const port of [one, other]) t.not(await comes(t, port, '127.0.0.2'), null)
      },
    )

    await t.test('newConnections: the burst of all gates; another client has its own', async (t) => {
      const [one, other] = portsOf(1) as [number, number]
      const since = performance.now()
      t.equal(await many(t, one, 12), 12, 'the burst, by one gate')
      const more = (await many(t, one, 12)) + (await many(t, other, 12))
      const flowed = Math.ceil((performance.now() - since) / 1000)
      t.ok(more <= flowed + GATES * Math.ceil(12 / (GATES + 1)), `${more} more`)
      for (const port of [one, other]) t.not(await comes(t, port, '127.0.0.2'), null)
    })

    await t.test('bytes: all streams of a client draw from one bucket, once, and none is lost', async (t) => {
      const rate = 512 * KIB
      const sessions = await Promise.all(portsOf(2).map((port) => comes(t, port)))
      const body = Buffer.alloc(128 * KIB)
      const since = performance.now()
      const uploads = sessions.flatMap((session) =>
        [1, 2, 3, 4].map(() => h2Ask(session!, { ':method': 'POST' }, body)),
      )
      let areOver = false
      const all = Promise.all(uploads).finally(() => (areOver = true))
      const twin = await comes(t, portsOf(2)[0]!, '127.0.0.2')
      t.match(await h2Ask(twin!, { ':method': 'POST' }, 'x'), { status: 200 })
      t.notOk(areOver, 'another client does not wait for them')
      t.same([...new Set((await all).map(({ status }) => status))], [200])
      const ms = performance.now() - since
      // 1 MiB, less the burst and a lease for each gate.
      const bound = ((8 * body.length - 192 * KIB * (1 + GATES / (GATES + 1))) * 1000) / rate
      t.ok(ms > 0.8 * bound, `${Math.round(ms)} ms, of ${Math.round(bound)} at the least`)
      t.ok(ms < 3 * bound, `${Math.round(ms)} ms: not drawn for the streams besides`)
    })

    await t.test(
      'messages: WebSockets of a client draw from one bucket, and what is over ends them',
      async (t) => {
        const flood = Buffer.concat(
          Array.from({ length: 200 }, (_, nth) =>
            encodeFrame({ opcode: 'text', payload: `${nth}`, mask: true }),
          ),
        )
        const since = performance.now()
        for (const gate of gates) {
          const wire = await h2Wire(t, gate.ports[3]!, websocketHead())
          await wire.answer
          void wire.write(flood)
        }
        const ends = await Promise.all(
          gates.map((gate) =>
            eventually(() => gate.lines.find(({ protocol }) => protocol === 'websocket'), {
              withinMs: 20_000,
            }),
          ),
        )
        t.same(
          ends.map(({ close, side }) => [close, side]),
          ends.map(() => ['rate_limited', 'client']),
        )
        const came = upstream.connections.reduce((sum, { messages }) => sum + messages.length, 0)
        const flowed = Math.ceil((performance.now() - since) / 1000)
        t.ok(came >= 60 && came <= 90 + flowed + GATES * 30 + 1, `${came} messages went by`)
      },
    )
  },
)
