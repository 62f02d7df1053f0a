// A request that may not be sent twice and meets a kept connection which its service has just closed is a 502. Where a service closes its
// connections sooner than they are used, such a request gets one of its own.

import { test } from 'tap'
import type { Test } from 'tap'
import { startGate } from '../support/gate.ts'
import { within } from '../support/eventually.ts'
import { chunked, get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import type { HttpClient, RecordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { stillClock } from '../support/still-clock.ts'
import type { StillClock } from '../support/still-clock.ts'

interface Path {
  upstream: RecordingUpstream
  client: HttpClient
  clock: StillClock
  port: number
}

/** A service that answers so many requests on each connection, and ends it when the next one is there. */
async function path(t: Test, requests: number): Promise<Path> {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, ({ nth, wire }) => {
    if (nth < requests) return OK
    wire.reset()
    return undefined
  })
  const clock = stillClock()
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`], { clock })
  return { upstream, clock, port: gate.port, client: await httpClient(t, gate.port) }
}

const post = get('/', 'Content-Length: 2\r\n', 'POST') + 'ab'
const requests: Array<[name: string, request: string]> = [
  ['a POST', post],
  ['a POST without a body', get('/', '', 'POST')],
  ['a PUT with a body', get('/', 'Content-Length: 2\r\n', 'PUT') + 'ab'],
  ['a PATCH in chunks', get('/', 'Transfer-Encoding: chunked\r\n', 'PATCH') + chunked('ab')],
  ['a PROPFIND', get('/', '', 'PROPFIND')],
]

for (const [name, request] of requests)
  test(`${name} is lost to a service that closes without a word once at the most`, async (t) => {
    const { client, upstream, clock, port } = await path(t, 1)
    await client.get(get('/before'))
    t.equal((await client.get(request)).status, 502, 'nobody could know')
    const again = await httpClient(t, port)
    for (let i = 0; i < 3; i++) {
      t.equal((await again.get(get('/before'))).status, 200)
      t.equal((await again.get(request)).status, 200)
    }
    t.ok(upstream.connections.length >= 4)
    clock.pass(60_000)
    t.equal((await again.get(get('/'))).status, 200)
    t.equal((await again.get(request)).status, 502, 'it may have changed meanwhile')
  })

test('a service that closes idle connections shows when: what has idled for half of that gets no POST, the rest does', async (t) => {
  const { client, upstream, clock } = await path(t, 100)
  await client.get(get())
  clock.pass(2000)
  upstream.connections[0]!.end()
  await within(upstream.connections[0]!.closed)
  const asked = async (afterMs: number, request = post): Promise<number> => {
    clock.pass(afterMs)
    t.equal((await client.get(request)).status, 200)
    return upstream.requests.at(-1)!.connection
  }
  t.equal(await asked(0), 1)
  t.equal(await asked(999), 1)
  t.equal(await asked(1000), 2)
  t.equal(await asked(1000, get()), 2, 'a GET would be sent again')
})

for (const [name, was, keys] of [
  ['other limits', '', ', limits: { connections: 77 }'],
  ['other settings of its upstream', '', 'maxIdle: 7'],
] as const)
  test(`that is known still after a reload: ${name}`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t)
    const clock = stillClock()
    const listener = (more: string): string =>
      more.startsWith('maxIdle')
        ? `protocol: http, upstream: { addresses: ["127.0.0.1:${upstream.port}"], ${more} }`
        : `protocol: http, upstream: "127.0.0.1:${upstream.port}"${more}`
    const gate = await startGate(t, [listener(was)], { clock })
    const before = await httpClient(t, gate.port)
    await before.get(get('/'))
    clock.pass(2000)
    upstream.connections[0]!.end()
    await within(upstream.connections[0]!.closed)
    before.wire.end()
    t.match(await gate.reload([listener(keys)]), { result: 'success' })
    const client = await httpClient(t, gate.port)
    await client.get(get('/'))
    clock.pass(999)
    t.equal((await client.get(post)).status, 200)
    t.equal(upstream.connections.length, 2, 'it has been idle for less than half of that')
    clock.pass(1001)
    t.equal((await client.get(post)).status, 200)
    t.equal(upstream.connections.length, 3)
    client.wire.end()
  })
