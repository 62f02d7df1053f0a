// A client with as many connections as `limits.connectionsPerClient` allows that opens another for one which has come to its end is not
// refused, though the gate hears of that end later than of the new connection, or not yet.

import { test } from 'tap'
import { startGate } from '../support/gate.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { testMemory } from '../support/memory.ts'
import { overload, recover } from '../support/overload.ts'
import { connect, echo } from '../support/peers.ts'

const LONG = { withinMs: 20_000 }
const TIMES = 60
const CLOSE = 'Connection: close\r\n'
const at = ({ port }: { port: number }, keys = '', protocol = 'http'): string[] => [
  `protocol: ${protocol}, upstream: "127.0.0.1:${port}", limits: { connectionsPerClient: 1 }${keys}`,
]

for (const workers of [1, 2]) {
  test(`one connection of HTTP after the other, each closed by its client before the next; ${workers} workers`, async (t) => {
    watchLeaks(t, LONG)
    const gate = await startGate(t, at(await recordingUpstream(t)), { workers })
    for (const headers of ['', CLOSE])
      for (let nth = 0; nth < TIMES; nth++) {
        const client = await httpClient(t, gate.port)
        t.equal((await client.get(get('/', headers))).status, 200)
        client.wire.end()
      }
  })

  test(`one connection of tcp after the other; ${workers} workers`, async (t) => {
    watchLeaks(t, LONG)
    const gate = await startGate(t, at(await echo(t), '', 'tcp'), { workers })
    for (let nth = 0; nth < TIMES; nth++) {
      const wire = await connect(t, gate.port)
      await wire.write('?')
      t.equal(String(await wire.read(1)), '?')
      wire.end()
    }
  })
}

const lasts: Array<[name: string, request: string, status: number]> = [
  ['as its client asked', get('/', CLOSE), 200],
  ['to HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 200],
  ['of a service that is gone', get('/gone'), 502],
  ['of a body that is too big', get('/', 'Content-Length: 2000\r\n', 'POST'), 413],
]
for (const [name, request, status] of lasts)
  test(`a client whose connection has ended by an answer ${name} need not have closed it before the next`, async (t) => {
    watchLeaks(t, LONG)
    const upstream = await recordingUpstream(t, ({ target, wire }) => {
      if (target === '/gone') wire.end()
      return target === '/gone' ? undefined : OK
    })
    const gate = await startGate(t, at(upstream, ', http: { maxBody: 1KiB }, deadlines: { close: 20s }'))
    const old = await httpClient(t, gate.port, { halfOpen: true })
    t.equal((await old.get(request)).status, status)
    const fresh = await httpClient(t, gate.port)
    t.equal((await fresh.get(get())).status, 200)
    for (const { wire } of [old, fresh]) wire.end()
  })

test('a client that is asked to go while memory is short has its place once there is memory', async (t) => {
  watchLeaks(t, LONG)
  const memory = testMemory()
  const gate = await startGate(t, at(await recordingUpstream(t)), { memory })
  const old = await httpClient(t, gate.port, { halfOpen: true })
  t.equal((await old.get(get())).status, 200)
  await overload(gate, memory)
  t.match(await old.get(get()), { status: 503, body: /overloaded/ })
  t.match(await (await httpClient(t, gate.port)).get(get()), { status: 503, body: /overloaded/ })
  await recover(gate, memory)
  const fresh = await httpClient(t, gate.port)
  t.equal((await fresh.get(get())).status, 200, 'though it has not closed the old one')
  for (const { wire } of [old, fresh]) wire.end()
})
