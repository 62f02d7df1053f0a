// Clients that a trusted proxy names, under limits of the fleet: gates ask Redis about each of their requests
// as about a connection of a client. Many come while Redis is being asked, and the gates refuse none that
// they would have let on with an answer at once.

import { createHash } from 'node:crypto'
import http from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { testMemory } from '../support/memory.ts'
import { overload, recover } from '../support/overload.ts'
import { connect } from '../support/peers.ts'
import { needs } from '../support/tools.ts'
import { redisServer } from './redis-server.ts'

const GATES = 2
const MAX = 20
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='

/** A request, and the status that says that it is served. */
const ways = {
  'a request': { lines: '', served: '200' },
  'a request with a body': { lines: 'Content-Length: 3\r\n', body: 'abc', served: '200' },
  'an upgrade': {
    lines: `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${KEY}\r\n`,
    served: '101',
  },
}
type Way = keyof typeof ways

/** Answers at once, and never to the end: a request that is served stays under way. A body is read before. */
async function holdingService(t: Test): Promise<{ port: number; connections(): Promise<number> }> {
  const server = http.createServer((request, response) => {
    request.resume().on('end', () => response.writeHead(200).write('x'))
  })
  server.on('upgrade', (request, socket) => {
    const accept = createHash('sha1').update(
      `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`,
    )
    socket.on('error', () => {})
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
    )
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return {
    port: (server.address() as AddressInfo).port,
    connections: () => new Promise((told) => server.getConnections((_, count) => told(count))),
  }
}

/** Of each gate the first listener counts requests under way, and the second how many begin. */
async function startFleet(
  t: Test,
  gates = GATES,
  timeout = '2s',
  parts: Parameters<typeof startGate>[2] = {},
) {
  const redis = await redisServer(t)
  const upstream = await holdingService(t)
  const rest = `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { trustForwarded: [127.0.0.0/8] }`
  const rate = `rate: 1, burst: ${MAX}, per: client, onExceed: close, scope: fleet`
  const listeners = [
    `${rest}, limits: { connectionsPerClient: { max: ${MAX}, scope: fleet } }`,
    `${rest}, limits: { newConnections: { ${rate} } }`,
  ]
  const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: ${timeout} } }`
  const started: Gate[] = []
  while (started.length < gates) started.push(await startGate(t, listeners, parts, top))
  for (const gate of started)
    await eventually(
      async () => {
        const metrics = await gate.metrics()
        return ['up 1', `gates ${gates}`].every((it) => metrics.includes(`\nsidegate_shared_${it}\n`))
      },
      { what: 'gates that know each other', withinMs: 20_000 },
    )
  return { redis, upstream, gates: started }
}

/** The status of the answer. */
async function comes(t: Test, port: number, way: Way, client: string): Promise<string> {
  const { lines, body = '' } = { body: undefined, ...ways[way] }
  const wire = await connect(t, port)
  const head = `${body === '' ? 'GET' : 'POST'} / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${client}\r\n${lines}\r\n`
  void wire.write(`${head}${body}`)
  return (await wire.read(12)).toString().slice(9)
}

/** How many of so many at once are served. */
async function many(t: Test, port: number, count: number, way: Way, client: string): Promise<number> {
  const all = await Promise.all(Array.from({ length: count }, () => comes(t, port, way, client)))
  return all.filter((status) => status === ways[way].served).length
}

test('clients nobody has seen', needs('redis-server'), async (t) => {
  const { gates } = await startFleet(t)
  const [one, other] = gates as [Gate, Gate]
  for (const [nth, way] of (Object.keys(ways) as Way[]).entries()) {
    const [client, neighbour] = [`192.0.2.${nth}`, `198.51.100.${nth}`]
    await t.test(
      `one that asks several things at once gets them all, as far as max goes: ${way}`,
      async (t) => {
        t.equal(await many(t, one.ports[0]!, 12, way, client), 12)
        t.equal(await many(t, one.ports[0]!, 12, way, neighbour), 12, 'and another for itself')
        const more =
          (await many(t, one.ports[0]!, MAX, way, client)) +
          (await many(t, other.ports[0]!, MAX, way, client))
        t.ok(more <= MAX - 12 + GATES, `${more} more`)
      },
    )

    await t.test(`the burst of the fleet is served of what comes at once, and no more: ${way}`, async (t) => {
      const since = performance.now()
      t.equal(await many(t, one.ports[1]!, MAX, way, client), MAX)
      const more =
        (await many(t, one.ports[1]!, MAX, way, client)) + (await many(t, other.ports[1]!, MAX, way, client))
      // By the bound of docs/fleet.md: what flowed in, and one lease for each gate.
      const flowed = Math.ceil((performance.now() - since) / 1000)
      t.ok(more <= flowed + GATES * Math.ceil(MAX / (GATES + 1)), `${more} more`)
    })
  }
})

test(
  'a Redis that does not answer is waited for no longer than its time-out and one probe, and not beyond the end of a client',
  needs('redis-server'),
  async (t) => {
    const { redis, upstream, gates } = await startFleet(t, 1, '300ms')
    const gate = gates[0]!
    await redis.signal('SIGSTOP')
    t.teardown(() => redis.signal('SIGCONT'))
    const all = Object.keys(ways).map(async (way, nth) => {
      const [port, client] = [gate.ports[0]!, `192.0.2.${nth}`]
      const served = many(t, port, 6, way as Way, client)
      const leaves = await connect(t, port)
      await leaves.write(
        `GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: ${client}\r\n${ways[way as Way].lines}\r\n`,
      )
      const { localPort } = leaves.socket
      await eventually(
        () =>
          [...gate.registry].some(
            ({ peer, toUpstream }) => peer.port === localPort && toUpstream.received > 0,
          ),
        { what: 'its head at the gate' },
      )
      leaves.socket.resetAndDestroy()
      t.equal(await served, 6, `its own share is all of it: ${way}`)
    })
    await Promise.all(all)
    // A busy gate may hear of the end after it has served the others.
    await eventually(() => gate.registry.size === 3 * 6, { what: 'those that left are gone' })
    for (const [nth, way] of (Object.keys(ways) as Way[]).entries())
      t.equal(
        await many(t, gate.ports[0]!, MAX, way, `192.0.2.${nth}`),
        MAX - 6,
        `all other places are free: ${way}`,
      )
    await eventually(
      async () => gate.registry.size === 3 * MAX && (await upstream.connections()) === 3 * MAX,
      {
        what: 'those that left are gone, and nobody asks for them; the others stay',
      },
    )
  },
)

test(
  'clients that wait for Redis when memory runs short are refused for that, and have used up nothing',
  needs('redis-server'),
  async (t) => {
    const memory = testMemory()
    const { redis, gates } = await startFleet(t, 1, '5s', { memory })
    const gate = gates[0]!
    for (const [nth, way] of (Object.keys(ways) as Way[]).entries()) {
      const client = `192.0.2.${nth}`
      await redis.signal('SIGSTOP')
      t.teardown(() => redis.signal('SIGCONT'))
      const waiting = Array.from({ length: MAX }, () => comes(t, gate.ports[1]!, way, client))
      await eventually(
        () => [...gate.registry].filter(({ client: { text } }) => text === client).length === MAX,
        {
          what: `${MAX} that wait`,
        },
      )
      await overload(gate, memory)
      await redis.signal('SIGCONT')
      const statuses = await Promise.all(waiting)
      // What is left of its own share is given out without a question.
      const served = statuses.filter((status) => status === ways[way].served).length
      const refused = statuses.filter((status) => status === '503').length
      t.ok(refused > 0, way)
      t.equal(served + refused, MAX, statuses.join(' '))
      await recover(gate, memory)
      const left = await many(t, gate.ports[1]!, MAX, way, client)
      t.ok(
        left >= refused,
        `${way}: of ${refused} that were refused each has left its token, ${left} are there`,
      )
    }
  },
)
