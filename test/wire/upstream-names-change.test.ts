import { test } from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, listen } from '../support/peers.ts'
import type { Upstream } from '../support/peers.ts'

const answering = (answers: Record<string, string[] | null>) => ({
  lookup: async (name: string): Promise<string[]> => {
    const found = answers[name]
    if (found === null) await new Promise(() => {})
    if (found === undefined) throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' })
    return found!
  },
  refreshMs: 30,
})

const openAt = (upstream: Upstream) =>
  upstream.connections.filter(({ outcome, hasEnded }) => outcome === null && !hasEnded).length

test('after a scale-up deadlines.lifetime moves the load: both addresses come to have connections, by lifetime_timeout alone', async (t) => {
  watchLeaks(t)
  const answers: Record<string, string[]> = { service: ['127.0.0.1'] }
  const first = await echo(t)
  const second = await twin(t, first.port)
  const gate = await startGate(
    t,
    [`protocol: tcp, upstream: "service:${first.port}", deadlines: { lifetime: 300ms, lifetimeJitter: 50% }`],
    { names: answering(answers) },
  )
  const over = new AbortController()
  // Clients that reconnect after each end, as real ones do.
  const clients = Array.from({ length: 10 }, async () => {
    while (!over.signal.aborted) {
      const client = await connect(t, gate.port)
      await client.write('x')
      await client.closed
    }
  })
  await eventually(() => openAt(first) === 10)
  answers['service'] = ['127.0.0.1', '127.0.0.2']
  await eventually(() => openAt(first) >= 4 && openAt(second) >= 4 && openAt(first) + openAt(second) <= 11)
  t.ok(
    gate.lines.every(({ close }) => close === 'lifetime_timeout' || close === 'eof'),
    JSON.stringify(gate.lines.map(({ close }) => close)),
  )
  over.abort()
  await Promise.all(clients)
})

/** Another service on the same port of 127.0.0.2. */
async function twin(t: Parameters<typeof listen>[0], port: number): Promise<Upstream> {
  return listen(
    t,
    (wire) => {
      wire.socket.on('data', (chunk) => void wire.write(chunk))
      void wire.ended.then(() => wire.end())
    },
    {},
    { host: '127.0.0.2', port },
  )
}

test('onRemoved end: an address that is gone from DNS ends its connections with upstream_unhealthy, and those of the others go on', async (t) => {
  watchLeaks(t)
  const answers: Record<string, string[]> = { service: ['127.0.0.1', '127.0.0.2'] }
  const first = await echo(t)
  const second = await twin(t, first.port)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: { addresses: ["service:${first.port}"], balance: roundRobin, onRemoved: end }`,
    ],
    { names: answering(answers) },
  )
  for (let nth = 0; nth < 4; nth++) {
    const client = await connect(t, gate.port)
    await client.write('x')
    await client.read(1)
  }
  t.same([openAt(first), openAt(second)], [2, 2])
  answers['service'] = ['127.0.0.2']
  t.match(await gate.end(), {
    reason: 'upstream_unhealthy',
    side: 'upstream',
    detail: `127.0.0.1:${first.port} is gone from DNS (service)`,
  })
  await gate.end(1)
  t.same([openAt(first), openAt(second)], [0, 2])
  Reflect.deleteProperty(answers, 'service')
  await delay(100)
  const client = await connect(t, gate.port)
  await client.write('x')
  t.equal((await client.read(1)).toString(), 'x', 'with a resolver that fails the last good answer stays')
})

test('a name whose resolver hangs ends its own clients with connect_timeout and holds up no other listener', async (t) => {
  watchLeaks(t)
  const upstream = await echo(t)
  const gate = await startGate(
    t,
    [
      `protocol: tcp, upstream: "dead:${upstream.port}", deadlines: { connect: 200ms }`,
      `protocol: tcp, upstream: "service:${upstream.port}"`,
      `protocol: tcp, upstream: "localhost:${upstream.port}"`,
    ],
    { names: answering({ dead: null, service: ['127.0.0.1'] }) },
  )
  const stuck = await connect(t, gate.ports[0]!)
  for (const port of gate.ports.slice(1)) {
    const client = await connect(t, port)
    await client.write('x')
    t.equal((await client.read(1)).toString(), 'x')
  }
  t.equal((await stuck.closed).kind, 'reset')
  t.match(await gate.end(), {
    reason: 'connect_timeout',
    side: 'upstream',
    phase: 'connect',
    detail: 'name resolution (deadlines.connect)',
  })
})
