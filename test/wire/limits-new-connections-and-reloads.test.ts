import { test, type Test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate, type Gate } from '../support/gate.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, listen, type Upstream } from '../support/peers.ts'
import { stillClock } from '../support/still-clock.ts'
import type { Wire } from '../support/wire.ts'

/** Names are 127.0.0.1 until they are moved; counts the look-ups of each. */
function countedNames() {
  const lookups = new Map<string, number>()
  const moved = new Map<string, string>()
  return {
    lookups,
    moved,
    refreshMs: 20,
    lookup: (name: string): Promise<string[]> => {
      lookups.set(name, (lookups.get(name) ?? 0) + 1)
      return Promise.resolve([moved.get(name) ?? '127.0.0.1'])
    },
  }
}

const listener = (name: string, { port }: { port: number }, handshake = '1h'): string =>
  `protocol: tcp, upstream: "${name}:${port}", limits: { newConnections: { rate: 1, burst: 1 } }, deadlines: { handshake: ${handshake} }`

/** `count` clients, of which all but the first wait for their turn. */
async function newcomers(t: Test, gate: Gate, count: number): Promise<Wire[]> {
  const clients = []
  for (let nth = 0; nth < count; nth++) clients.push(await connect(t, gate.port))
  const delayed = { listener: 'l0', limit: 'newConnections', action: 'delay' }
  await eventually(
    async () => readSamples(await gate.metrics()).get('sidegate_rate_limited_total', delayed) === count - 1,
  )
  return clients
}

async function isLive(client: Wire): Promise<boolean> {
  await client.write('ping')
  return (await client.read(4)).toString() === 'ping'
}

test('a client that waits for its turn reaches the service of its configuration after reloads, also one that moves', async (t) => {
  watchLeaks(t)
  const clock = stillClock()
  const names = countedNames()
  const second = await listen(t, (wire) => void wire.write('another'))
  const first = await echo(t)
  const moved = await echoOn(t, '127.0.0.2', first.port)
  const gate = await startGate(t, [listener('first', first)], { clock, names })
  const [served, ...waiting] = await newcomers(t, gate, 3)
  served!.end()
  await gate.end()
  t.match(await gate.reload([listener('second', second)]), { result: 'success' })
  t.match(await gate.reload([listener('second', second, '2h')]), { result: 'success' })
  names.moved.set('first', '127.0.0.2')
  await roundOf(names)
  for (const client of waiting) {
    clock.pass(1000)
    t.ok(await isLive(client))
  }
  t.equal(moved.connections.length, 2)
  for (const client of waiting) client.end()
  await gate.end(2)
  await isForgotten('first', names)
})

for (const how of ['refused', 'gone'] as const)
  test(`a client that is ${how} while it waits for its turn holds no service of a former configuration`, async (t) => {
    watchLeaks(t)
    const clock = stillClock()
    const names = countedNames()
    const [first, second] = [await echo(t), await echo(t)]
    const gate = await startGate(t, [listener('first', first)], { clock, names })
    const [served, waiting] = await newcomers(t, gate, 2)
    served!.end()
    await gate.end()
    const handshake = how === 'refused' ? '100ms' : '1h'
    t.match(await gate.reload([listener('second', second, handshake)]), { result: 'success' })
    if (how === 'gone') waiting!.reset()
    // The next turn is due in a second.
    clock.pass(how === 'gone' ? 1000 : 500)
    await within(waiting!.closed)
    await isForgotten('first', names)
  })

/** Some look-ups of `second`. */
async function roundOf({ lookups }: ReturnType<typeof countedNames>): Promise<void> {
  const before = lookups.get('second')!
  await eventually(() => lookups.get('second')! >= before + 5)
}

async function isForgotten(name: string, names: ReturnType<typeof countedNames>): Promise<void> {
  await eventually(async () => {
    const before = names.lookups.get(name)
    await roundOf(names)
    return names.lookups.get(name) === before
  })
}

function echoOn(t: Test, host: string, port: number): Promise<Upstream> {
  const serve = (wire: Wire): void => {
    wire.socket.on('data', (chunk) => void wire.write(chunk))
    void wire.ended.then(() => wire.end())
  }
  return listen(t, serve, {}, { host, port })
}
