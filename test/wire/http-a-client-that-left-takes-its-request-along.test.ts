import { test } from 'tap'
import type { Test } from 'tap'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { get, httpClient, watchCrashes } from '../support/http-peers.ts'
import type { HttpClient } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'
import type { Upstream } from '../support/peers.ts'
import { backlogFull } from '../support/processes.ts'

/** The time within which the upstream must see it; the machine may be busy. */
const BOUND_MS = 1000

/** By default a client that ends only its half still gets its answer. */
const leaving = 'http: { abortOnHalfClose: on }'

async function path(t: Test, first: string): Promise<{ gate: Gate; upstream: Upstream; client: HttpClient }> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n')
    if (first !== '') void wire.write(first)
    void wire.ended.then(() => wire.end())
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${leaving}`])
  return { gate, upstream, client: await httpClient(t, gate.port) }
}

const moments: Array<[name: string, first: string, request: string]> = [
  ['while it waits for an answer', '', get()],
  ['inside the answer', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello', get()],
  ['inside its own body', '', get('/', 'Content-Length: 10\r\n', 'POST') + 'hello'],
  ['inside a chunk of its own', '', get('/', 'Transfer-Encoding: chunked\r\n', 'POST') + 'a\r\nhello'],
]
for (const [name, first, request] of moments) {
  for (const by of ['FIN', 'RST'] as const) {
    test(`a client that leaves by ${by} ${name} takes the request to the upstream along`, async (t) => {
      const { gate, upstream, client } = await path(t, first)
      void client.send(request)
      const seen = await upstream.connection()
      await eventually(() => seen.bytes > 0, { what: 'the request' })
      if (first !== '') await client.wire.readUntil('hello')
      if (name.includes('own')) await seen.readUntil('hello')
      const start = performance.now()
      if (by === 'FIN') client.wire.end()
      else client.wire.reset()
      await within(seen.closed, { withinMs: BOUND_MS })
      t.comment(`${performance.now() - start} ms`)
      t.match(await gate.end(), { reason: by === 'FIN' ? 'aborted' : 'reset', side: 'client' })
      const code = first === '' ? 'none' : '200'
      t.match(
        await gate.metrics(),
        new RegExp(
          `sidegate_http_requests_total\\{listener="l0",method="${request.split(' ')[0]}",code="${code}"\\} 1`,
        ),
      )
    })
  }
}

test('a client that leaves while its dial hangs takes the dial along', async (t) => {
  watchLeaks(t)
  const { port } = await backlogFull(t)
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${port}", ${leaving}`])
  const client = await httpClient(t, gate.port)
  await client.send(get())
  await new Promise((resolve) => setTimeout(resolve, 50))
  client.wire.end()
  t.match(await gate.end(), { reason: 'aborted', side: 'client' })
})

test('clients that leave inside a fast answer leave nothing behind', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n')
    await wire.write('HTTP/1.1 200 OK\r\n\r\n')
    await wire.flood({ total: 50_000_000 })
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${leaving}`])
  for (let i = 0; i < 20; i++) {
    const client = await httpClient(t, gate.port)
    void client.send(get())
    await eventually(() => client.wire.bytes > i * 20_000)
    if (i % 3 === 0) client.wire.end()
    else if (i % 3 === 1) client.wire.reset()
    else client.wire.destroy()
    t.match(await gate.end(i), { side: 'client', reason: /^(aborted|reset)$/ })
  }
})

test('a client that ends its half and does not read is not waited for', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n')
    await wire.write('HTTP/1.1 200 OK\r\n\r\n')
    await wire.flood()
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}", ${leaving}`])
  const client = await httpClient(t, gate.port, { unread: true, halfOpen: true })
  void client.send(get())
  const seen = await upstream.connection()
  await seen.stalled(50)
  client.wire.end()
  await within(seen.closed)
  t.match(await gate.end(), { reason: 'aborted', side: 'client' })
})
