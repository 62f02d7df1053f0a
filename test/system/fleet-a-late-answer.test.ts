// One late answer of Redis, as a fork for a snapshot makes it, or a busy neighbour: two real gates with a real
// Redis that stands still for a moment longer than its time-out. Clients over the lease of their gate (of a rate:
// and its share), and below the limit of the fleet, wait for the answer. Where it does not come, the share holds,
// and the words for a refusal say so.

import root, { test, type Test } from 'tap'
import { authority } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { h2Ask, h2Connect } from '../support/h2-client.ts'
import { httpService } from '../support/http-service.ts'
import { testMemory } from '../support/memory.ts'
import { overload } from '../support/overload.ts'
import { connect, echo } from '../support/peers.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { needs } from '../support/tools.ts'
import { rawClient, wsServer } from '../support/websocket.ts'
import type { Wire } from '../support/wire.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { get } from './program.ts'
import { longWay, redisServer } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

root.jobs = 3
const beside = { ...needs('redis-server'), buffered: true }

const MAX = 12
const GATES = 2
const SHARE = MAX / GATES
/** Of a rate so many come through unasked. */
const LEASE = MAX / (GATES + 1)

interface Scene {
  redis: RedisServer
  gate: Gate
  /** Redis stands still: resolves once its answer is late. */
  isMissed(): Promise<unknown>
}

async function scene(
  t: Test,
  listeners: string[],
  {
    timeout = '3s',
    top = '',
    ...parts
  }: { timeout?: string; top?: string; memory?: ReturnType<typeof testMemory> } = {},
): Promise<Scene> {
  const redis = await redisServer(t)
  t.teardown(() => redis.signal('SIGCONT'))
  const shared = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: ${timeout} } }${top}`
  const gates: Gate[] = []
  while (gates.length < GATES)
    gates.push(await startGate(t, listeners, gates.length === 0 ? parts : {}, shared))
  await knowEachOther(gates)
  const gate = gates[0]!
  const isMissed = (): Promise<unknown> =>
    eventually(async () => /shared_requests_total\{result="timeout"\} [1-9]/.test(await gate.metrics()), {
      what: 'an answer that is late',
      withinMs: 20_000,
    })
  await redis.signal('SIGSTOP')
  return { redis, gate, isMissed }
}

async function answers(wire: Wire | null, first = '?'): Promise<boolean> {
  if (wire === null) return false
  void wire.write(first)
  return wire.read(1).then(
    () => true,
    () => false,
  )
}

const many = async (comes: () => Promise<boolean>): Promise<number> =>
  (await Promise.all(Array.from({ length: MAX }, comes))).filter(Boolean).length

const PLACES = `connectionsPerClient: { max: ${MAX}, scope: fleet }`
const paced = (per: 'client' | 'listener'): string =>
  `newConnections: { rate: 1, burst: ${MAX}, per: ${per}, onExceed: close, scope: fleet }`

/** The keys of a listener, and whether a client that comes is served. */
const ways: Record<string, (t: Test) => Promise<[keys: string, comes: (port: number) => Promise<boolean>]>> =
  {
    ...Object.fromEntries(
      [PLACES, paced('client'), paced('listener')].map((limits) => [
        `tcp, ${limits}`,
        async (t: Test) => [
          `protocol: tcp, upstream: "127.0.0.1:${(await echo(t)).port}", limits: { ${limits} }`,
          async (port: number) => answers(await connect(t, port).catch(() => null)),
        ],
      ]),
    ),
    'a PROXY header and TLS': async (t) => {
      const ca = authority(t)
      const server = ca.issue('server')
      const head = 'PROXY TCP4 192.0.2.7 192.0.2.1 7000 443\r\n'
      return [
        `protocol: tcp, upstream: "127.0.0.1:${(await echo(t)).port}", limits: { ${PLACES} }, tls: { cert: "${server.cert}", key: "${server.key}" }, proxyProtocol: { accept: v1, trusted: [127.0.0.0/8] }`,
        async (port) => answers(await tlsConnect(t, port, { ca: ca.cert, head }).catch(() => null)),
      ]
    },
    'requests that a trusted peer brings': async (t) => {
      const service = await httpService(t, (_request, response) => void response.end('served'))
      const head = 'GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n'
      return [
        `protocol: http, upstream: "127.0.0.1:${service}", http: { trustForwarded: [127.0.0.0/8] }, limits: { ${paced('client')} }`,
        async (port) => {
          const wire = await connect(t, port)
          void wire.write(head)
          return (await wire.read(12)).toString().endsWith('200')
        },
      ]
    },
    'streams of HTTP/2 that a trusted peer brings': async (t) => {
      const service = await httpService(t, (_request, response) => void response.end('served'))
      let session: ReturnType<typeof h2Connect> | null = null
      return [
        `protocol: http, upstream: "127.0.0.1:${service}", http: { h2c: on, trustForwarded: [127.0.0.0/8] }, limits: { ${paced('client')} }`,
        async (port) => {
          const asked = await (session ??= h2Connect(t, port))
          return (await h2Ask(asked, { 'x-forwarded-for': '192.0.2.7' })).status === 200
        },
      ]
    },
  }

for (const [way, prepare] of Object.entries(ways)) {
  test(`after one late answer nobody is refused who is below the limit: ${way}`, beside, async (t) => {
    const [keys, comes] = await prepare(t)
    const { redis, gate, isMissed } = await scene(t, [keys])
    const served = many(() => comes(gate.port))
    await isMissed()
    await redis.signal('SIGCONT')
    t.equal(await served, MAX)
  })

  test(
    `an answer that does not come leaves the share of the gate, and a refusal says so: ${way}`,
    beside,
    async (t) => {
      const [keys, comes] = await prepare(t)
      const { gate } = await scene(t, [keys], { timeout: '200ms' })
      const served = await many(() => comes(gate.port))
      t.ok(served >= SHARE && served <= SHARE + LEASE, `${served} of ${MAX}`)
      const { body } = await get(gate.adminPort, '/recent')
      const details = (JSON.parse(body) as Array<{ detail: string | null }>).map(({ detail }) => detail ?? '')
      t.match(
        details.find((detail) => detail.includes('limits.')),
        /^Redis is away: limits\.(?:connectionsPerClient|newConnections), by shared\.redis\.onUnavailable$/,
      )
    },
  )
}

for (const mode of ['frames', 'messages'] as const)
  test(`after one late answer no WebSocket ends that is below the limit: ${mode}`, beside, async (t) => {
    const upstream = await wsServer(t, { echo: false })
    const rule = 'rate: 1, burst: 90, per: client, onExceed: close, scope: fleet'
    const keys = `protocol: http, upstream: "127.0.0.1:${upstream.port}", limits: { messages: { ${rule} } }, websocket: { mode: ${mode} }`
    const { redis, gate, isMissed } = await scene(t, [keys])
    const client = await rawClient(t, gate.port)
    const server = await upstream.connection()
    const flood = Array.from({ length: 88 }, (_, nth) =>
      encodeFrame({ opcode: 'text', payload: `${nth}`, mask: true }),
    )
    void client.send(Buffer.concat(flood))
    await isMissed()
    t.ok(server.messages.length < flood.length, 'some are over the share')
    await redis.signal('SIGCONT')
    await eventually(() => server.messages.length === flood.length, { what: 'all', withinMs: 20_000 })
    t.equal(gate.lines.length, 0)
  })

const tcp = async (t: Test): Promise<string> => `protocol: tcp, upstream: "127.0.0.1:${(await echo(t)).port}"`

/** All but the first, or those of the lease and the share of this gate, wait for the answer. */
async function waiting(
  t: Test,
  { gate, isMissed }: Scene,
  { port = gate.port, halfOpen = false, served = 1 } = {},
): Promise<Wire[]> {
  const wires = await Promise.all(Array.from({ length: MAX }, () => connect(t, port, { halfOpen })))
  await isMissed()
  await eventually(() => gate.registry.size >= served, { what: 'those that need not wait' })
  t.equal(gate.registry.open, MAX, 'the others wait')
  return wires
}

test(
  'those that wait for a late answer when a reload removes their listener are served as it says',
  beside,
  async (t) => {
    const plain = await tcp(t)
    const top = '\ndrain: { spread: 50m, timeout: 1h }'
    const it = await scene(t, [plain, `${plain}, limits: { ${PLACES} }`], { top })
    const wires = await waiting(t, it, { port: it.gate.ports[1]!, halfOpen: true })
    const shared = `shared: { redis: { address: "127.0.0.1:${it.redis.port}", timeout: 3s } }${top}`
    t.match(await it.gate.reload([plain], shared), { result: 'success' })
    await it.redis.signal('SIGCONT')
    t.same([...new Set(await Promise.all(wires.map((wire) => answers(wire))))], [true])
    for (const wire of wires) wire.end()
    await it.gate.end(MAX - 1)
  },
)

test(
  'those that wait for a late answer when a drain ends are refused with drain_timeout',
  beside,
  async (t) => {
    const it = await scene(t, [`${await tcp(t)}, limits: { ${paced('client')} }`], { timeout: '5s' })
    const wires = await waiting(t, it, { served: SHARE + LEASE })
    await it.gate.drain(300)
    await within(Promise.all(wires.map(({ closed }) => closed)))
    // A token or so has flowed in meanwhile.
    const text = /^sidegate_connections_rejected_total\{listener="l0",reason="drain_timeout"\} [12]$/m
    t.match(await it.gate.metrics(), text)
  },
)

test(
  'those that wait for a late answer at a gate that is overloaded meanwhile leave the wait',
  beside,
  async (t) => {
    const memory = testMemory()
    const it = await scene(t, [`${await tcp(t)}, limits: { ${PLACES} }`], { memory, timeout: '5s' })
    const wires = await waiting(t, it)
    await overload(it.gate, memory)
    await it.redis.signal('SIGCONT')
    const served = (await Promise.all(wires.map((wire) => answers(wire)))).filter(Boolean).length
    t.ok(served >= 1 && served < MAX, `${served}`)
    await eventually(() => it.gate.registry.open === it.gate.registry.size, { what: 'nobody that waits' })
  },
)

test('where one answer in twenty is late, nobody below the limit is refused', beside, async (t) => {
  const redis = await redisServer(t)
  // Of the others none is to be late, on a busy machine either.
  const timeoutMs = 600
  let answered = 0
  const way = await longWay(t, redis, () => (++answered % 20 === 0 ? timeoutMs * 1.5 : 0))
  const shared = `shared: { redis: { address: "127.0.0.1:${way}", timeout: ${timeoutMs}ms } }`
  const listener = `${await tcp(t)}, limits: { ${PLACES} }`
  const gates: Gate[] = []
  while (gates.length < GATES) gates.push(await startGate(t, [listener], {}, shared))
  await knowEachOther(gates)
  const { port, metrics } = gates[0]!
  let served = 0
  let came = 0
  const lateOnes = (): number => Math.floor(answered / 20)
  const last = lateOnes() + 4
  for (let nth = 1; lateOnes() < last; nth++) {
    const from = `127.9.0.${nth}`
    const wires = await Promise.all(Array.from({ length: SHARE + 3 }, () => connect(t, port, { from })))
    came += wires.length
    served += (await Promise.all(wires.map((wire) => answers(wire)))).filter(Boolean).length
    for (const wire of wires) wire.end()
  }
  t.equal(served, came)
  t.match(await metrics(), /\nsidegate_shared_up 1\n/)
  t.match(await metrics(), /shared_requests_total\{result="timeout"\} [1-9]/)
})
