// Bytes that clients send before their dial stands, under limits of the fleet: two real gates with a real
// Redis, in front of a service on a unix socket that is not there yet.

import { join } from 'node:path'
import root, { test, type Test } from 'tap'
import { pattern, sha256 } from '../support/bytes.ts'
import { readSamples } from '../metrics/samples.ts'
import { eventually } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { switchingProtocols, upgradeRequest } from '../support/handshake.ts'
import { parseHead } from '../support/http.ts'
import { connect, listen } from '../support/peers.ts'
import type { Upstream } from '../support/peers.ts'
import { quietFor } from '../support/innocents.ts'
import { needs, temporary } from '../support/tools.ts'
import type { Wire } from '../support/wire.ts'
import { knowEachOther } from './fleet-of-gates.ts'
import { redisServer } from './redis-server.ts'
import type { RedisServer } from './redis-server.ts'

/** Each scene has its own Redis, and mostly waits. */
root.jobs = 3
const beside = { ...needs('redis-server'), buffered: true }

const KIB = 1024
const GATES = 2
const LONG = { withinMs: 40_000 }
/** What a client may have waiting in a gate before its dial stands. */
const EARLY = 60 * KIB

interface Scene {
  redis: RedisServer
  gates: Gate[]
  /** The service listens from now on. */
  begins(): Promise<Upstream>
}

interface SceneOptions {
  protocol?: 'tcp' | 'http'
  keys?: string
  onUnavailable?: string
}

async function scene(
  t: Test,
  limits: string,
  { protocol = 'tcp', keys = '', onUnavailable = 'local' }: SceneOptions = {},
): Promise<Scene> {
  const redis = await redisServer(t)
  const path = join(temporary(t), 'service')
  const top = `shared: { redis: { address: "127.0.0.1:${redis.port}", timeout: 500ms, onUnavailable: ${onUnavailable} } }`
  const listener = `protocol: ${protocol}, upstream: "unix:${path}", deadlines: { connect: 60s }, limits: { ${limits} }${keys}`
  const gates: Gate[] = []
  while (gates.length < GATES) gates.push(await startGate(t, [listener], {}, top))
  await knowEachOther(gates)
  return { redis, gates, begins: () => listen(t, () => {}, {}, { path }) }
}

const sumOf = ({ registry }: Gate): number =>
  [...registry].reduce((sum, { toUpstream }) => sum + toUpstream.received, 0)

/** Clients at each gate in turn, whose first bytes the gates hold while the service is not there. */
async function early(t: Test, gates: readonly Gate[], each: readonly Buffer[]): Promise<Wire[]> {
  const clients: Wire[] = []
  for (const [nth, bytes] of each.entries()) {
    const client = await connect(t, gates[nth % GATES]!.port, { halfOpen: true })
    void client.write(bytes)
    clients.push(client)
  }
  const all = each.reduce((sum, { length }) => sum + length, 0)
  const held = (): number => gates.reduce((sum, gate) => sum + sumOf(gate), 0)
  await eventually(() => held() === all, { ...LONG, what: 'early bytes in the gates' })
  for (const gate of gates)
    for (const { phase, connectedAt } of gate.registry) t.match([phase, connectedAt], ['connect', null])
  return clients
}

/** Null where it is reset at once. */
const comes = (t: Test, { port }: Gate): Promise<Wire | null> => connect(t, port).catch(() => null)

const down = ({ gates }: Scene): Promise<unknown> =>
  Promise.all(
    gates.map((gate) =>
      eventually(async () => (await gate.metrics()).includes('\nsidegate_shared_up 0\n'), LONG),
    ),
  )

const bytesOf = (seed: number, length: number): Buffer => pattern(length, seed)

/** All of it came on some connection, once. */
function cameWhole(t: Test, { connections }: Upstream, sent: readonly Buffer[]): void {
  t.same(
    connections.map((wire) => wire.sha256).toSorted(),
    sent.map((bytes) => sha256(bytes)).toSorted(),
    'every byte, in order',
  )
}

test(
  'limits.bytes that delays: every early byte arrives in order, and all gates keep the rate',
  beside,
  async (t) => {
    const [rate, burst] = [64 * KIB, 64 * KIB]
    const one = await scene(t, 'bytes: { rate: 64KiB, burst: 64KiB, per: client, scope: fleet }')
    const sent = [1, 2, 3, 4].map((seed) => bytesOf(seed, 110 * KIB))
    const since = performance.now()
    const clients = await early(
      t,
      one.gates,
      sent.map((bytes) => bytes.subarray(0, EARLY)),
    )
    const service = await one.begins()
    for (const [nth, client] of clients.entries()) client.end(sent[nth]!.subarray(EARLY))
    await eventually(() => service.connections.filter(({ hasEnded }) => hasEnded).length === 4, LONG)
    const seconds = (performance.now() - since) / 1000
    cameWhole(t, service, sent)
    // One lease for each gate, which is a read here; one read for each connection, and what came before any could be held up.
    const most = rate * seconds + burst + GATES * 64 * KIB + clients.length * EARLY
    t.ok(4 * 110 * KIB <= most, `${seconds} s`)
  },
)

test(
  'limits.bytes that closes: a client within the burst of the fleet gets all through, one beyond it ends with rate_limited',
  beside,
  async (t) => {
    const one = await scene(
      t,
      'bytes: { rate: 1KiB, burst: 256KiB, per: client, onExceed: close, scope: fleet }',
    )
    const within = [bytesOf(1, EARLY), bytesOf(2, EARLY)]
    const clients = await early(t, one.gates, within)
    const service = await one.begins()
    await eventually(() => service.connections.reduce((sum, { bytes }) => sum + bytes, 0) === 2 * EARLY, LONG)
    cameWhole(t, service, within)
    t.same(
      one.gates.flatMap(({ lines }) => lines),
      [],
    )
    for (const client of clients) void client.write(bytesOf(3, 300 * KIB))
    for (const gate of one.gates) t.match(await gate.end(), { reason: 'rate_limited', side: 'client' })
    const got = service.connections.reduce((sum, { bytes }) => sum + bytes, 0)
    t.ok(got <= (256 + GATES * 128 + GATES * 64) * KIB, `${got} bytes`)
  },
)

/** A head of 6 bytes, and a payload. */
const FRAME = 16

const frames = (count: number): Buffer =>
  Buffer.concat(
    Array.from({ length: count }, () =>
      encodeFrame({ opcode: 'text', payload: Buffer.from('0123456789'), mask: true }),
    ),
  )

for (const [onExceed, keys] of [
  ['delay', ''],
  ['close', ''],
  ['drop', ', websocket: { mode: messages }'],
] as const)
  test(`limits.messages that ${onExceed}s holds for frames that came with the upgrade`, beside, async (t) => {
    const [burst, many] = [12, 60]
    const one = await scene(
      t,
      `messages: { rate: 10, burst: ${burst}, per: client, onExceed: ${onExceed}, scope: fleet }`,
      { protocol: 'http', keys },
    )
    const since = performance.now()
    const opening = Buffer.concat([Buffer.from(upgradeRequest({})), frames(many)])
    await early(t, one.gates, [opening, opening])
    const service = await one.begins()
    await eventually(() => service.connections.length === GATES, LONG)
    const heads: number[] = []
    for (const wire of service.connections) {
      const head = await wire.readUntil('\r\n\r\n', LONG)
      heads.push(head.length)
      await wire.write(switchingProtocols(parseHead(head)!))
    }
    const framesIn = (): number =>
      service.connections.reduce((sum, { bytes }, nth) => sum + Math.floor((bytes - heads[nth]!) / FRAME), 0)
    if (onExceed === 'delay') {
      await eventually(() => framesIn() === GATES * many, { ...LONG, what: 'all messages' })
    } else if (onExceed === 'close') {
      for (const gate of one.gates) t.match(await gate.end(), { reason: 'rate_limited', side: 'client' })
    } else {
      const dropped = async (): Promise<number> => {
        const samples = await Promise.all(one.gates.map((gate) => gate.metrics()))
        return samples.reduce(
          (sum, text) =>
            sum + readSamples(text).sum('sidegate_rate_limited_total', { limit: 'messages', action: 'drop' }),
          0,
        )
      }
      await eventually(async () => (await dropped()) + framesIn() === GATES * many, LONG)
    }
    const seconds = (performance.now() - since) / 1000
    const most = 10 * seconds + burst + GATES * burst
    t.ok(framesIn() <= most, `${framesIn()} messages in ${seconds} s`)
    t.ok(framesIn() >= burst, `${framesIn()} messages`)
  })

test(
  'connectionsPerClient: a place is held while the dial does not stand, and given back when the client leaves before it does',
  beside,
  async (t) => {
    const one = await scene(t, 'connectionsPerClient: { max: 2, scope: fleet }')
    const [first, second] = (await early(t, one.gates, [bytesOf(1, 1000), bytesOf(2, 1000)])) as [Wire, Wire]
    const isRefused = async (gate: Gate): Promise<boolean> => {
      // A gate gives a spare place back after a second.
      await quietFor(2500)
      const open = gate.registry.size
      const client = await comes(t, gate)
      if (client === null) return true
      await eventually(() => client.outcome !== null || gate.registry.size > open, LONG)
      const isOut = client.outcome !== null
      client.destroy()
      return isOut
    }
    for (const gate of one.gates) t.ok(await isRefused(gate), 'both places are taken')
    first.reset()
    await eventually(() => one.gates[0]!.lines.some(({ close }) => close === 'reset'), LONG)
    t.notOk(await isRefused(one.gates[1]!), 'its place is free, also at the other gate')
    const service = await one.begins()
    await eventually(() => service.connections.some(({ bytes }) => bytes === 1000), LONG)
    second.end()
  },
)

test(
  'newConnections that closes counts clients whose dial does not stand, and those that it let on arrive',
  beside,
  async (t) => {
    const [burst, many] = [4, 20]
    const one = await scene(
      t,
      `newConnections: { rate: 1, burst: ${burst}, per: client, onExceed: close, scope: fleet }`,
    )
    const since = performance.now()
    const clients: Array<Wire | null> = []
    for (let nth = 0; nth < many; nth++) {
      const client = await comes(t, one.gates[nth % GATES]!)
      void client?.write('x')
      clients.push(client)
    }
    const isOut = (client: Wire | null): boolean => client === null || client.outcome !== null
    const held = (): number => one.gates.reduce((sum, gate) => sum + sumOf(gate), 0)
    await eventually(() => clients.filter(isOut).length + held() === many, LONG)
    const on = held()
    const seconds = (performance.now() - since) / 1000
    t.ok(on >= burst - GATES && on <= burst + GATES * 2 + seconds, `${on} in ${seconds} s`)
    const service = await one.begins()
    await eventually(() => service.connections.filter(({ bytes }) => bytes === 1).length === on, LONG)
    t.equal(clients.filter(isOut).length, many - on, 'nobody else ends')
  },
)

for (const onUnavailable of ['local', 'open', 'closed'])
  test(`while Redis is away, early bytes arrive, onUnavailable: ${onUnavailable}`, beside, async (t) => {
    const one = await scene(
      t,
      'bytes: { rate: 256KiB, burst: 256KiB, per: client, scope: fleet }, connectionsPerClient: { max: 10, scope: fleet }',
      { onUnavailable },
    )
    const sent = [bytesOf(1, EARLY), bytesOf(2, EARLY)]
    await early(t, one.gates, sent)
    await one.redis.signal('SIGKILL')
    await down(one)
    const service = await one.begins()
    await eventually(() => service.connections.reduce((sum, { bytes }) => sum + bytes, 0) === 2 * EARLY, LONG)
    cameWhole(t, service, sent)
    t.same(
      one.gates.flatMap(({ lines }) => lines),
      [],
      'nobody ends because Redis is away',
    )
  })
