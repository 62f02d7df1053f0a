import { test } from 'tap'
import type { Test } from 'tap'
import { someServer } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import type { Gate } from '../support/gate.ts'
import { parseAnswer } from '../support/http.ts'
import { get, httpClient, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { listen } from '../support/peers.ts'
import type { Upstream } from '../support/peers.ts'
import { tlsUpstream } from '../support/tls-peers.ts'
import type { Wire } from '../support/wire.ts'

const TOO_LARGE = 'HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge'
const MB = 1_000_000

async function path(t: Test, serve: (wire: Wire) => unknown): Promise<{ gate: Gate; upstream: Upstream }> {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n').catch(() => null)
    wire.stopReading()
    await serve(wire)
  })
  return { upstream, gate: await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`]) }
}

test('a head whose body has not begun reaches the service at once', async (t) => {
  watchLeaks(t)
  const upstream = await listen(t, async (wire) => {
    await wire.readUntil('\r\n\r\n')
    await wire.write('HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n')
  })
  const gate = await startGate(t, [`protocol: http, upstream: "127.0.0.1:${upstream.port}"`])
  for (const headers of ['Content-Length: 10\r\n', 'Transfer-Encoding: chunked\r\n']) {
    const client = await httpClient(t, gate.port)
    const answer = await client.get(get('/', headers, 'POST'))
    t.same([answer.status, answer.header('connection')], [401, 'close'])
    client.wire.end()
  }
})

test('a client that writes 4 MB before it reads gets the answer that came before they were read', async (t) => {
  const { gate } = await path(t, (wire) => wire.write(TOO_LARGE))
  const client = await httpClient(t, gate.port, { unread: true })
  await client.send(get('/', `Content-Length: ${4 * MB}\r\n`, 'POST'))
  void client.wire.flood({ total: 4 * MB, keepOpen: true })
  await eventually(() => gate.open().end !== null || gate.open().toClient.sent > 0, {
    what: 'the answer on its way',
  })
  client.wire.resumeReading()
  await within(client.wire.ended)
  t.match(parseAnswer(client.wire.takeUnread()), { status: 413, isWhole: true })
  client.wire.end()
  t.match(await gate.end(), { reason: 'eof' })
})

/** Answers without having read the request, and closes: RST follows, since bytes are unread. */
async function rejects(wire: Wire): Promise<void> {
  await wire.write(TOO_LARGE)
  wire.destroy()
}

async function arrivesWhole(t: Test, gate: Gate): Promise<void> {
  for (let i = 0; i < 20; i++) {
    const client = await httpClient(t, gate.port)
    await client.send(get('/', `Content-Length: ${50 * MB}\r\n`, 'POST'))
    void client.wire.flood({ total: 50 * MB, keepOpen: true }).catch(() => {})
    const answer = await client.answer()
    t.same([answer.status, answer.body.toString()], [413, 'large'])
    client.wire.destroy()
    await gate.end(i)
  }
}

test('an answer whose service closes without having read the request arrives whole, and is no 502', async (t) => {
  const { gate } = await path(t, (wire) => rejects(wire))
  await arrivesWhole(t, gate)
})

test('so it does where the service speaks TLS', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const { ca, ...server } = someServer()
  const upstream = await tlsUpstream(t, server, async (wire) => {
    wire.socket.setNoDelay()
    await wire.readUntil('\r\n\r\n').catch(() => null)
    wire.stopReading()
    await rejects(wire)
  })
  const gate = await startGate(t, [
    `protocol: http, upstream: { addresses: ["localhost:${upstream.port}"], tls: { ca: "${ca}" } }`,
  ])
  await arrivesWhole(t, gate)
})
