// A proxy on a unix socket is as near as one on loopback: with `http.trustForwarded: [private]` it names its
// clients by HTTP/2 and for WebSockets as by HTTP/1.1, to the service and to the rules of the gate.

import http2 from 'node:http2'
import net from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'tap'
import type { Test } from 'tap'
import { within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { h2Ask } from '../support/h2-client.ts'
import { switchingProtocols, upgradeRequest } from '../support/handshake.ts'
import { HttpClient, OK, recordingUpstream } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect } from '../support/peers.ts'
import { temporary } from '../support/tools.ts'

const ANN = '203.0.113.7'
const DENIED = '6.6.6.6'

type Ask = (client: string) => Promise<number>

async function overHttp2(t: Test, path: string): Promise<Ask> {
  const session = http2.connect('http://a', { createConnection: () => net.connect(path) })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await within(once(session, 'remoteSettings'))
  return async (client) => (await h2Ask(session, { 'x-forwarded-for': client })).status
}

function asWebSocket(t: Test, path: string): Promise<Ask> {
  return Promise.resolve(async (client) => {
    const wire = await connect(t, path)
    const { status } = await new HttpClient(wire).get(
      upgradeRequest({ headers: { 'X-Forwarded-For': client } }),
    )
    wire.end()
    return status
  })
}

for (const [name, open, served] of [
  ['HTTP/2', overHttp2, 200],
  ['WebSockets', asWebSocket, 101],
] as const)
  for (const trusted of ['private', '192.0.2.1'])
    test(`a proxy on a unix socket ${trusted === 'private' ? 'names its clients' : 'is nobody where private is not trusted'}: ${name}`, async (t) => {
      watchLeaks(t)
      const path = join(temporary(t), 'gate')
      const upstream = await recordingUpstream(t, (seen) =>
        seen.header('upgrade') === null ? OK : switchingProtocols(seen),
      )
      await startGate(t, [
        `address: "unix:${path}", protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on, trustForwarded: [${trusted}] }, access: { deny: [${DENIED}] }`,
      ])
      const ask = await open(t, path)
      t.equal(await ask(ANN), served)
      t.equal(upstream.requests[0]!.header('x-forwarded-for'), trusted === 'private' ? ANN : 'unknown')
      t.equal(await ask(DENIED), trusted === 'private' ? 403 : served)
    })

for (const [name, open, served] of [
  ['HTTP/2', overHttp2, 200],
  ['WebSockets', asWebSocket, 101],
] as const)
  test(`a reload decides whether a proxy on a unix socket names its clients: ${name}`, async (t) => {
    watchLeaks(t)
    const path = join(temporary(t), 'gate')
    const upstream = await recordingUpstream(t, (seen) =>
      seen.header('upgrade') === null ? OK : switchingProtocols(seen),
    )
    const trusting = (whom: string): string =>
      `address: "unix:${path}", protocol: http, upstream: "127.0.0.1:${upstream.port}", http: { h2c: on, trustForwarded: [${whom}] }, access: { deny: [${DENIED}] }`
    const gate = await startGate(t, [trusting('192.0.2.1')])
    t.equal(await (await open(t, path))(DENIED), served)
    await gate.reload([trusting('private')])
    const ask = await open(t, path)
    t.equal(await ask(DENIED), 403)
    t.equal(await ask(ANN), served)
    await gate.reload([trusting('192.0.2.1')])
    t.equal(await (await open(t, path))(DENIED), served)
  })
