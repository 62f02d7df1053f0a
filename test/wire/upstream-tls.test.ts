import root, { test } from 'tap'
import type { Test } from 'tap'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { WebSocketServer } from 'ws'
import { readSamples } from '../metrics/samples.ts'
import { pattern } from '../support/bytes.ts'
import { authority } from '../support/certificates.ts'
import type { Signed } from '../support/certificates.ts'
import { eventually, within } from '../support/eventually.ts'
import { startGate } from '../support/gate.ts'
import { get, httpClient, watchCrashes } from '../support/http-peers.ts'
import { watchLeaks } from '../support/leaks.ts'
import { connect, echo, mute } from '../support/peers.ts'
import { echoBack, tlsUpstream } from '../support/tls-peers.ts'
import { wsClient } from '../support/websocket.ts'

root.setTimeout(120_000)

const RESET = { kind: 'reset', code: 'ECONNRESET' }
const upstreamOf = (port: number, tls: string, host = 'localhost'): string =>
  `upstream: { addresses: ["${host}:${port}"], tls: { ${tls} } }`

/** Plain HTTP and WebSocket behind TLS, by Node and `ws`. */
async function httpsUpstream(
  t: Test,
  { cert, key }: Signed,
): Promise<{ port: number; connections: () => number }> {
  let connections = 0
  const server = createServer({ cert: readFileSync(cert), key: readFileSync(key) }, (request, response) => {
    request
      .resume()
      .on('end', () => response.end(`${request.url} for ${String(request.headers['x-forwarded-for'])}`))
  })
  server.on('secureConnection', () => connections++)
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => socket.on('message', (data, binary) => socket.send(data, { binary })))
  t.teardown(async () => {
    for (const socket of sockets.clients) socket.terminate()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, connections: () => connections }
}

test('tcp goes on over TLS, verified, whole and in order, and half-closes pass', async (t) => {
  watchLeaks(t)
  const ca = authority(t)
  const upstream = await tlsUpstream(t, ca.issue('legacy'), echoBack)
  const gate = await startGate(t, [`protocol: tcp, ${upstreamOf(upstream.port, `ca: "${ca.cert}"`)}`])
  const client = await connect(t, gate.port)
  const sent = pattern(2_000_000, 4, 0)
  client.end(sent)
  t.ok((await within(client.received)).equals(sent))
  t.match(await gate.end(), { reason: 'eof' })
  t.equal(
    (upstream.connections[0]!.socket as unknown as { servername: string }).servername,
    'localhost',
    'SNI',
  )
})

test('plain HTTP shares kept connections over TLS, and a WebSocket goes over one of its own', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const ca = authority(t)
  const upstream = await httpsUpstream(t, ca.issue('legacy'))
  const gate = await startGate(t, [`protocol: http, ${upstreamOf(upstream.port, `ca: "${ca.cert}"`)}`])
  const client = await httpClient(t, gate.port)
  for (const path of ['/one', '/two', '/three'])
    t.equal((await client.get(get(path))).body.toString(), `${path} for 127.0.0.1`)
  t.equal(upstream.connections(), 1)
  const socket = await wsClient(t, `ws://127.0.0.1:${gate.port}`)
  void socket.send('hello')
  t.equal((await socket.nextMessage()).data.toString(), 'hello')
  t.equal(upstream.connections(), 2)
  const samples = readSamples(await gate.metrics())
  t.equal(samples.sum('sidegate_upstream_connect_duration_seconds_count', {}), 2, 'each dial is counted once')
})

test('an upstream that cannot be verified is connect_failed with the words of OpenSSL: 502 for http, RST for tcp', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const ca = authority(t)
  const strangers = authority(t, 'strangers')
  const legacy = ca.issue('legacy')
  const upstream = await tlsUpstream(t, legacy, echoBack)
  const wrongName = await tlsUpstream(t, ca.issue('other', { host: 'other.example' }), echoBack)
  const plain = await echo(t)
  const cases = [
    [
      upstreamOf(upstream.port, `ca: "${strangers.cert}"`),
      /UNABLE_TO_VERIFY_LEAF_SIGNATURE: unable to verify the first certificate/,
    ],
    [upstreamOf(upstream.port, ''), /UNABLE_TO_VERIFY_LEAF_SIGNATURE/],
    [upstreamOf(wrongName.port, `ca: "${ca.cert}"`), /ERR_TLS_CERT_ALTNAME_INVALID: .*localhost/],
    [
      upstreamOf(upstream.port, `ca: "${ca.cert}", serverName: wrong.example`),
      /ERR_TLS_CERT_ALTNAME_INVALID/,
    ],
    [upstreamOf(plain.port, `ca: "${ca.cert}"`), /ERR_SSL_\w+: /],
  ] as const
  for (const [upstreamKeys, detail] of cases) {
    const gate = await startGate(t, [`protocol: tcp, ${upstreamKeys}`, `protocol: http, ${upstreamKeys}`])
    t.same(await within((await connect(t, gate.port)).closed), RESET)
    t.match(await gate.end(), { reason: 'connect_failed', side: 'upstream', phase: 'connect', detail })
    const client = await httpClient(t, gate.ports[1]!)
    t.equal((await client.get(get())).status, 502)
    client.wire.end()
    t.match(await gate.end(1), { reason: 'connect_failed', side: 'upstream', detail })
    t.equal(
      readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
        reason: 'connect_failed',
      }),
      2,
    )
  }
})

test('serverName is the name that is verified and sent, and an address is verified as one', async (t) => {
  watchLeaks(t)
  const ca = authority(t)
  const upstream = await tlsUpstream(t, ca.issue('legacy', { host: 'legacy.example' }), echoBack)
  for (const [keys, host, name] of [
    [`ca: "${ca.cert}", serverName: legacy.example`, 'localhost', 'legacy.example'],
    [`ca: "${ca.cert}"`, '127.0.0.1', false],
  ] as const) {
    const gate = await startGate(t, [`protocol: tcp, ${upstreamOf(upstream.port, keys, host)}`])
    const client = await connect(t, gate.port)
    void client.write('x')
    t.equal((await client.read(1)).toString(), 'x')
    t.equal(
      (upstream.connections.at(-1)!.socket as unknown as { servername: string | false }).servername,
      name,
    )
  }
})

test('an upstream that asks for a certificate is shown ours', async (t) => {
  watchLeaks(t)
  const ca = authority(t)
  const clients = authority(t, 'clients')
  const mine = clients.issue('sidegate')
  const upstream = await tlsUpstream(t, ca.issue('legacy'), echoBack, {
    requestCert: true,
    rejectUnauthorized: true,
    ca: readFileSync(clients.cert),
  })
  const gate = await startGate(t, [
    `protocol: tcp, ${upstreamOf(upstream.port, `ca: "${ca.cert}", cert: "${mine.cert}", key: "${mine.key}"`)}`,
    `protocol: tcp, ${upstreamOf(upstream.port, `ca: "${ca.cert}"`)}`,
  ])
  const client = await connect(t, gate.port)
  void client.write('x')
  t.equal((await client.read(1)).toString(), 'x')
  const without = await connect(t, gate.ports[1]!)
  t.match(await within(without.closed), { kind: 'reset' })
  await eventually(() => upstream.failures.includes('ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE'))
})

test('a handshake that the upstream does not answer is connect_timeout, for tcp and for http, and its socket is closed', async (t) => {
  watchLeaks(t)
  watchCrashes(t)
  const ca = authority(t)
  const upstream = await mute(t)
  const keys = `${upstreamOf(upstream.port, `ca: "${ca.cert}"`)}, deadlines: { connect: 200ms }`
  const gate = await startGate(t, [`protocol: tcp, ${keys}`, `protocol: http, ${keys}`])
  const client = await connect(t, gate.port)
  t.same(await within(client.closed), RESET)
  t.match(await gate.end(), { reason: 'connect_timeout', side: 'upstream' })
  const http = await httpClient(t, gate.ports[1]!)
  t.equal((await http.get(get())).status, 504)
  http.wire.end()
  t.match(await gate.end(1), { reason: 'connect_timeout', side: 'upstream' })
  t.equal(
    readSamples(await gate.metrics()).sum('sidegate_upstream_connect_failures_total', {
      reason: 'connect_timeout',
    }),
    2,
  )
  for (const connection of upstream.connections) connection.resumeReading()
  await eventually(() =>
    upstream.connections.every((connection) => connection.hasEnded || connection.outcome !== null),
  )
})

test('an upstream over TLS that takes nothing is ended with write_timeout, and a client that leaves takes its dial along', async (t) => {
  watchLeaks(t)
  const ca = authority(t)
  const upstream = await tlsUpstream(t, ca.issue('legacy'), (wire) => wire.stopReading())
  const gate = await startGate(t, [
    `protocol: tcp, ${upstreamOf(upstream.port, `ca: "${ca.cert}"`)}, deadlines: { write: 200ms }`,
  ])
  const client = await connect(t, gate.port)
  void client.flood()
  t.match(await gate.end(), { reason: 'write_timeout', side: 'upstream' })
  t.same(await within(client.closed), RESET)
  const silent = await mute(t)
  const second = await startGate(t, [`protocol: tcp, ${upstreamOf(silent.port, `ca: "${ca.cert}"`)}`])
  const leaver = await connect(t, second.port)
  await silent.connection()
  leaver.reset()
  t.match(await second.end(), { reason: 'reset', side: 'client', phase: 'connect' })
})
