import root, { test } from 'tap'
import { readSamples } from '../metrics/samples.ts'
import { authority, mountedSecret } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { encodeFrame } from '../support/frames.ts'
import { startGate } from '../support/gate.ts'
import { switchingProtocols, upgradeRequest } from '../support/handshake.ts'
import { get, HttpClient, OK, recordingUpstream, watchCrashes } from '../support/http-peers.ts'
import type { Respond, Seen } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { tlsConnect } from '../support/tls-peers.ts'
import { FrameWire } from '../support/websocket.ts'

root.setTimeout(120_000)
const ca = authority(root)
const clients = authority(root, 'clients')
const known = clients.issue('known')
const [first, second] = [ca.issue('first'), ca.issue('second')]

/** Answers an upgrade, and echoes the bytes after it once, as a frame. */
const answer: Respond = (seen) =>
  seen.header('upgrade') === 'websocket'
    ? Buffer.concat([
        Buffer.from(switchingProtocols(seen)),
        encodeFrame({ opcode: 'text', payload: 'hello' }),
      ])
    : OK
const isTold = ({ headers }: Seen): boolean =>
  headers.some(([name]) => name.toLowerCase() === 'x-forwarded-client-cert')

for (const mode of ['frames', 'messages']) {
  test(`a renewed certificate, other authorities and a reload leave open connections as they were, WebSockets in ${mode} mode among them`, async (t) => {
    watchLeaks(t)
    watchCrashes(t)
    const upstream = await recordingUpstream(t, answer)
    const [shown, trusted] = [mountedSecret(t, first), mountedSecret(t, clients)]
    const listener = (http: string): string =>
      `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { ${http} }, websocket: { mode: ${mode} }, tls: { cert: "${shown.cert}", key: "${shown.key}", clientCa: "${trusted.cert}" }`
    const gate = await startGate(t, [listener('clientCertificate: forward')])
    const plain = new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert, client: known }))
    t.equal((await plain.get(get())).status, 200)
    const upgraded = new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert, client: known }))
    t.equal((await upgraded.get(upgradeRequest())).status, 101)
    const frames = new FrameWire(upgraded.wire)
    t.match(await frames.nextFrame(), { opcode: 'text' })

    const renewed = (times: number): Promise<unknown> =>
      eventually(
        async () =>
          readSamples(await gate.metrics()).get('sidegate_tls_reloads_total', { result: 'success' }) ===
          times,
      )
    shown.swap(second)
    await renewed(1)
    trusted.swap(authority(t, 'others'))
    await renewed(2)
    t.match(await gate.reload([listener('clientCertificate: off')]), { result: 'success' })

    t.equal((await plain.get(get())).status, 200)
    t.ok(isTold(await upstream.request(2)), 'a connection lives under what it was admitted with')
    const service = (await upstream.request(1)).wire
    void service.write(encodeFrame({ opcode: 'text', payload: 'still there' }))
    t.match((await frames.nextFrame()).payload.toString(), 'still there')
    const denied = await tlsConnect(t, gate.port, { ca: ca.cert, client: known }).catch(() => null)
    if (denied !== null) await within(denied.ended)
    plain.wire.end()
    upgraded.wire.end()
    await gate.end(1)
    t.same(
      gate.lines.map((line) => line['clientSubject']),
      ['CN=known', 'CN=known'],
    )
  })
}

test('a reload to forward tells of clients who come from then on', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const upstream = await recordingUpstream(t, answer)
  const listener = (http: string): string =>
    `protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { ${http} }, tls: { cert: "${first.cert}", key: "${first.key}", clientCa: "${clients.cert}" }`
  const gate = await startGate(t, [listener('clientCertificate: off')])
  const before = new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert, client: known }))
  t.equal((await before.get(get())).status, 200)
  t.match(await gate.reload([listener('clientCertificate: forward')]), { result: 'success' })
  const after = new HttpClient(await tlsConnect(t, gate.port, { ca: ca.cert, client: known }))
  for (const client of [before, after]) t.equal((await client.get(get())).status, 200)
  t.same(
    [0, 1, 2].map((nth) => isTold(upstream.requests[nth]!)),
    [false, false, true],
  )
})
