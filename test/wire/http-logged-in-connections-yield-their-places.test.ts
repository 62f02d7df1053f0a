// An upstream connection on which its client has authenticated (NTLM, Negotiate) stays that client's between
// two requests, and keeps its place under `maxConnections` until another client waits for a place.

import { test } from 'tap'
import { systemClock } from '../../src/core/clock.ts'
import type { Clock } from '../../src/core/clock.ts'
import { eventually } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'

const login = get('/', 'Authorization: NTLM anna\r\n')

for (const many of [1, 2])
  test(`who waits for a place gets that of a client that is logged in and asks nothing, of ${many}`, async (t) => {
    watchLeaks(t)
    const upstream = await recordingUpstream(t)
    const twin = await recordingUpstream(t)
    const addresses = [upstream, twin].slice(0, many)
    const gate = await startGate(t, [
      `protocol: http, upstream: { maxConnections: 1, queueTimeout: 1h, addresses: [${addresses
        .map(({ port }) => `"127.0.0.1:${port}"`)
        .join()}] }`,
    ])
    const resting = await Promise.all(addresses.map(() => httpClient(t, gate.port)))
    for (const client of resting) t.equal((await client.get(login)).status, 200)
    const bert = await httpClient(t, gate.port)
    t.equal((await bert.get(get('/bert'))).status, 200)
    t.equal([...upstream.requests, ...twin.requests].filter(({ connection }) => connection > 0).length, 1)
    // The gate still serves them, on a connection on which they have to log in again.
    for (const client of resting) t.equal((await client.get(login)).status, 200)
  })

test('a connection in the middle of a request is not given up, and who gave one up waits for a place like others', async (t) => {
  watchLeaks(t)
  const upstream = await recordingUpstream(t, ({ target }) => (target === '/slow' ? undefined : OK))
  let sweeps = 0
  const clock: Clock = {
    ...systemClock,
    every: (ms, run) =>
      systemClock.every(ms, () => {
        run()
        sweeps++
      }),
  }
  const gate = await startGate(
    t,
    [
      `protocol: http, upstream: { maxConnections: 2, queueTimeout: 1h, addresses: ["127.0.0.1:${upstream.port}"] }, deadlines: { close: 100ms }`,
    ],
    { clock },
  )
  const [anna, bert, carl] = [
    await httpClient(t, gate.port),
    await httpClient(t, gate.port),
    await httpClient(t, gate.port),
  ]
  await anna.get(login)
  await bert.send(get('/slow', 'Authorization: NTLM bert\r\n'))
  await upstream.request(1)
  t.equal((await carl.get(get('/carl'))).status, 200, "anna's")
  await carl.send(get('/slow'))
  await upstream.request(3)
  await anna.send(get('/anna'))
  await eventually(async () => (await gate.metrics()).includes('sidegate_upstream_queued{listener="l0"} 1'))
  const before = sweeps
  await eventually(() => sweeps > before + 20)
  await upstream.requests[3]!.wire.write(OK)
  t.equal((await carl.answer()).status, 200)
  t.equal((await anna.answer()).status, 200, "carl's, once he had his answer")
  await upstream.requests[1]!.wire.write(OK)
  t.equal((await bert.answer()).status, 200, 'never cut')
})
