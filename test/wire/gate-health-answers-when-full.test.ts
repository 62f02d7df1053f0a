import { test } from 'tap'
import { startGate } from '../support/gate.ts'
import { parseAnswer, requestRaw } from '../support/http.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, flooder } from '../support/peers.ts'

test('the health server answers while a listener is full of stalled clients and others are refused', async (t) => {
  watchLeaks(t)
  const upstream = await flooder(t)
  const gate = await startGate(t, [
    `protocol: tcp, upstream: "127.0.0.1:${upstream.port}", limits: { connections: 5 }, deadlines: { write: 20s }`,
  ])
  const clients = await Promise.all(Array.from({ length: 5 }, () => connect(t, gate.port, { unread: true })))
  for (const seen of upstream.connections) await seen.stalled(20)
  const refused = Promise.all(
    Array.from({ length: 50 }, () =>
      connect(t, gate.port).then(
        (wire) => wire.closed,
        () => ({ kind: 'reset' }),
      ),
    ),
  )
  for (const path of ['/livez', '/readyz', '/startupz', '/metrics']) {
    const { bytes, livedMs } = await requestRaw(
      t,
      gate.healthPort,
      `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    )
    t.equal(parseAnswer(bytes).status, 200, path)
    t.ok(livedMs < 1500, `${path} took ${livedMs} ms`)
  }
  t.same(new Set((await refused).map(({ kind }) => kind)), new Set(['reset']))
  for (const client of clients) client.reset()
})
