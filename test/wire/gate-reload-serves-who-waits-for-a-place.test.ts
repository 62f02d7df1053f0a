// Connections and requests that wait for a place under `upstream.maxConnections` while a reload changes that number, or other
// keys of the upstream: the new number holds for them too, and they keep their turn before whoever comes later.

import { test } from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { readSamples } from '../metrics/samples.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo } from '../support/peers.ts'

const LONG = { withinMs: 20_000 }
/** More than the tolerance of the order over several workers. */
const APART_MS = 80

const listener = (protocol: string, port: number, keys: string): string =>
  `protocol: ${protocol}, upstream: { addresses: ["127.0.0.1:${port}"], queueTimeout: 60s, ${keys} }`

const queue = (gate: Gate, length: number): Promise<unknown> =>
  eventually(
    async () =>
      readSamples(await gate.metrics()).get('sidegate_upstream_queued', { listener: 'l0' }) === length,
    { what: `${length} that wait`, ...LONG },
  )

for (const workers of [1, 2]) {
  const where = workers === 1 ? '' : ', with workers'

  test(`connections that wait get the places that a reload adds, before newcomers${where}`, async (t) => {
    watchLeaks(t, LONG)
    const service = await echo(t)
    const of = (keys: string): string => listener('tcp', service.port, keys)
    const gate = await startGate(t, [of('maxConnections: 1')], { workers })
    const say = async (text: string) => {
      const wire = await connect(t, gate.port)
      await wire.write(text)
      return wire
    }
    const first = await say('1')
    await first.read(1)
    const [second, third] = [await say('2'), await say('3')]
    await queue(gate, 2)
    t.match(await gate.reload([of('maxConnections: 3, balance: roundRobin')]), { result: 'success' })
    t.equal((await within(second.read(1), LONG)).toString(), '2')
    t.equal((await within(third.read(1), LONG)).toString(), '3')
    const fourth = await say('4')
    await queue(gate, 1)
    t.equal(service.connections.length, 3, 'and no more than that')
    t.match(await gate.reload([of('maxConnections: 2')]), { result: 'success' })
    first.end()
    await gate.end()
    await queue(gate, 1)
    t.equal(fourth.bytes, 0, 'a lower number holds for who waits')
    for (const wire of [second, third]) {
      await wire.write('x')
      t.equal((await wire.read(1)).toString(), 'x', 'who has a place keeps it')
    }
    second.end()
    t.equal((await within(fourth.read(1), LONG)).toString(), '4')
    third.end()
    fourth.end()
  })

  test(`so do requests, and each waits for its turn beside those that come after the reload${where}`, async (t) => {
    watchLeaks(t, LONG)
    const answers = new Map<string, () => void>()
    const upstream = await recordingUpstream(t, async ({ target }) => {
      if (target !== '/') await new Promise<void>((resolve) => answers.set(target, resolve))
      return OK
    })
    const of = (keys: string): string => listener('http', upstream.port, keys)
    const gate = await startGate(t, [of('maxConnections: 1')], { workers })
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => httpClient(t, gate.port)))
    for (const client of [one!, two!, three!]) await client.get(get('/'))
    void one!.send(get('/one'))
    await eventually(() => answers.has('/one'), LONG)
    void two!.send(get('/two'))
    await queue(gate, 1)
    t.match(await gate.reload([of('maxConnections: 2')]), { result: 'success' })
    await eventually(() => answers.has('/two'), { what: 'the place that is new', ...LONG })
    answers.get('/one')!()
    t.match(await one!.answer(), { status: 200 })

    // One place is held by a newcomer, and one by a client of before, and so are the turns in the queue.
    const [four, five] = [await httpClient(t, gate.port), await httpClient(t, gate.port)]
    void four.send(get('/four'))
    await eventually(() => answers.has('/four'), LONG)
    void three!.send(get('/three'))
    await queue(gate, 1)
    await delay(APART_MS)
    void five.send(get('/five'))
    await queue(gate, 2)
    answers.get('/four')!()
    t.match(await four.answer(), { status: 200 })
    await eventually(() => answers.has('/three'), { what: 'who came first', ...LONG })
    t.notOk(answers.has('/five'))
    answers.get('/two')!()
    await eventually(() => answers.has('/five'), LONG)
    for (const name of ['/three', '/five']) answers.get(name)!()
    for (const client of [two!, three!, five]) t.match(await client.answer(), { status: 200 })
  })
}
